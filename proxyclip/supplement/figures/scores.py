"""The figures of the chapters, from their records: what is drawn, captioned and alt_text in words.

Each function takes the frame of :func:`proxyclip.supplement.records.table` and a note for the caption (VFM, profile,
sample size).
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from proxyclip.supplement.figures.palette import METHOD_COLOURS
from proxyclip.supplement.figures.plots import BookFigure, dots, show

# ----------------------------------------------------------------------------------------------------------- chapter A


# ----------------------------------------------------------------------------------------------------------- chapter B


# ----------------------------------------------------------------------------------------------------------- chapter D


# ----------------------------------------------------------------------------------------------------------- chapter E


def by_set(measured: pd.DataFrame, printed: pd.DataFrame, title: str, note: str) -> BookFigure:
    """A dot per method on each set, the paper's value of the same cell as a thin grey tick.

    Parameters
    ----------
    measured, printed : DataFrame
        A row per set, a column per method; ``printed`` may lack some of both.
    """
    measured = measured.dropna(how="all")
    printed = printed.reindex(index=measured.index, columns=measured.columns)
    best = measured.idxmax(axis=1)
    alt_text = (f"{name}: {best[name]} highest with {measured.loc[name].max():.1f}" for name in measured.index)
    return show([dots(measured, METHOD_COLOURS, "mIoU, %", title, paper=printed)],
                f"mIoU by method and set; grey ticks: the paper's values on the set that is stood in for; {note}.",
                "; ".join(alt_text) + ".")


# ----------------------------------------------------------------------------------------------------------- chapter F


# ----------------------------------------------------------------------------------------------------------- chapter G


def by_score(measured: Mapping[str, pd.DataFrame], caption: str) -> BookFigure:
    """A panel per score: a row per set, a dot per method. A set on which nothing could be measured has no row.

    Parameters
    ----------
    measured : mapping of a score's name to DataFrame
        In per cent; a row per set, a column per method.
    caption : str
    """
    measured = {score: frame.dropna(how="all") for score, frame in measured.items()}
    measured = {score: frame for score, frame in measured.items() if not frame.empty}
    panels = [dots(frame, METHOD_COLOURS, "%", score) for score, frame in measured.items()]
    alt_text = (
        f"{score}. " + "; ".join(f"{name}: " + ", ".join(f"{method} {value:.0f}" for method, value in row.items())
                                 for name, row in frame.iterrows()) + "."
        for score, frame in measured.items())
    return show(panels, caption, tuple(alt_text))
