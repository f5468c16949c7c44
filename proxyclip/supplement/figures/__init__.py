"""The style of the book's figures, with one colour and marker per name, and its tables."""

from proxyclip.supplement.figures.layout import captioned, styles, theme
from proxyclip.supplement.figures.plots import name_lines
from proxyclip.supplement.figures.tables import table

__all__ = ["captioned", "name_lines", "styles", "table", "theme"]
