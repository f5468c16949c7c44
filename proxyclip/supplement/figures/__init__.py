"""Figures and tables as the book shows them."""

from proxyclip.supplement.figures.layout import captioned, styles, theme
from proxyclip.supplement.figures.plots import name_lines

__all__ = ["captioned", "name_lines", "styles", "theme"]
