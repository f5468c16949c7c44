"""The style of the book's figures, with one colour and marker per name, and its tables."""

from proxyclip.supplement.figures.layout import WIDTH, captioned, styles, theme
from proxyclip.supplement.figures.tables import table

__all__ = ["WIDTH", "captioned", "styles", "table", "theme"]
