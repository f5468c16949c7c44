"""Attention explorer: an interactive page that shows how each patch of an image attends to all others."""
