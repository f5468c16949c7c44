"""The style of the book's figures, their colours and markers, and its tables."""

from proxyclip.supplement.figures.layout import captioned, theme
from proxyclip.supplement.figures.palette import colours, markers
from proxyclip.supplement.figures.tables import table

__all__ = ["captioned", "colours", "markers", "table", "theme"]
