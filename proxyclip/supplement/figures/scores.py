"""Scores by data set: a panel of the measured ones and, with an axis of its own, a panel of the printed ones."""

from __future__ import annotations

import pandas as pd

from proxyclip.supplement.display_names import stand_ins
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.figures.plots import dots
from proxyclip.supplement.paper import COLUMN_OF_BENCHMARK


def leaders(frame: pd.DataFrame) -> str:
    """Which method leads on how many rows, most first: ``ProxyCLIP leads on 3 of 4, several are level on 1 of 4``.

    Methods are level where their values are the same with one decimal, as the tables show them.
    """
    shown = frame.round(1)
    highest = shown.eq(shown.max(axis=1), axis=0)
    alone = highest.sum(axis=1) == 1
    best = frame[alone].idxmax(axis=1).value_counts()
    parts = [f"{method} leads on {count} of {len(frame)}" for method, count in best.items()]
    return ", ".join([*parts, *([f"several are level on {(~alone).sum()} of {len(frame)}"] if not alone.all() else [])])


def by_set(measured: pd.DataFrame, printed: pd.DataFrame, title: str, note: str) -> BookFigure:
    """A dot per method on each set; the paper's values in a panel of their own.

    Parameters
    ----------
    measured, printed : DataFrame
        A row per set, a column per method; ``printed`` may be empty, or lack some of both.
    title, note : str
        Of the measured panel; VFM, profile and sample size for the caption.
    """
    measured = measured.dropna(how="all")
    average = measured.mean().sort_values()
    panels = [dots(measured, "mIoU, %", "Measured" if len(printed) else title)]
    order = " < ".join(f"{name} ({value:.1f})" for name, value in average.items())
    alts = [highest(measured)]
    seen = f"On the mean of the sets the order is {order}; {leaders(measured)} of the measured sets."
    caption = f"mIoU by method and set; {note}."
    # the printed ProxyCLIP is shown beside the measured ones, whichever foundation model they read
    names = dict.fromkeys(name if name in printed else name.partition(" (")[0] for name in measured.columns)
    shown = printed.reindex(columns=[name for name in names if name in printed]).dropna(how="all")
    if len(shown):
        names = stand_ins()
        benchmarks = [names.get(name, name) for name in shown.index]
        shown = shown.set_axis([COLUMN_OF_BENCHMARK.get(name, name) for name in benchmarks])
        panels.append(dots(shown, "mIoU, %", "Printed in the supplement", height=panels[0].height))
        alts.append(highest(shown))
        seen += f" In the supplement's table {leaders(shown)} benchmarks."
        generated = bool(set(names) & set(measured.index))
        ours, theirs = (" on generated sets", " that these sets imitate") if generated else ("", "")
        caption = (f"mIoU by method: measured{ours} ({note}), and printed in the supplement for the "
                   f"benchmarks{theirs}, in a panel with an axis of its own.")
    return show(panels, caption, alts, seen)


def highest(frame: pd.DataFrame) -> str:
    """The highest method of each row, with its value: ``voc21: ProxyCLIP highest with 61.3.``"""
    return "; ".join(f"{name}: {row.idxmax()} highest with {row.max():.1f}" for name, row in frame.iterrows()) + "."
