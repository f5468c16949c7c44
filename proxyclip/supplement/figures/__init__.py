"""Figures and tables as the book shows them."""
