"""Measurements of the tiny models: scores of every rule and proxy, and how much the parameters matter."""
