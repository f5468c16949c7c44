"""A chapter's run beside those saved under ``results/``: a panel for each, and their values in a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pandas as pd

from proxyclip.supplement import paper
from proxyclip.supplement.figures.layout import BookFigure, Panel, show
from proxyclip.supplement.figures.plots import dots, lines
from proxyclip.supplement.figures.scores import highest, leaders
from proxyclip.supplement.figures.tables import SWEPT, Shown, runs
from proxyclip.supplement.records import Result, table

#: What a chapter's panel shows: the measure, and how its axis is called.
MEASURES = defaultdict(lambda: ("miou", "mIoU, %"), {"G": ("boundary_iou", "boundary IoU, %")})
#: Chapters whose panel has curves: the number along the axis, its name, one curve for each of these.
CURVES = {"B": ("beta", "shift β", "dataset"), "D": ("alpha", "threshold α", "label")}
#: Settings under which chapter F keeps the rows of its table; the others belong to its growing vocabulary.
TABLE_ROWS = ("", paper.FREE, paper.NOT_PRINTED)


def beside(own: Result, others: Mapping[str, Result]) -> Shown:
    """This run beside others: the scores as a figure, then verdicts and values in a table.

    Parameters
    ----------
    own : Result
    others : mapping of a run's name to its result
        As :meth:`proxyclip.supplement.experiment.Experiment.others` gives it.

    Returns
    -------
    Shown
        The table alone where no other run has scores, and a sentence where there is no other run.
    """
    drawn, listed = figure(own, others), runs(own, others)
    return Shown(f"{drawn._repr_html_()}{listed.page}", f"{drawn!r} {listed!r}") if drawn else listed


def figure(own: Result, others: Mapping[str, Result]) -> BookFigure | None:
    """A panel for this run and for each other one that has scores; None where there is no other."""
    columns = {"this run": own, **others}
    scores = {name: frame for name, run in columns.items() if len(frame := _scores(run))}
    if not others or len(scores) < 2:
        return None
    panels, alts, seen = [], [], []
    for name, frame in scores.items():
        panel, alt, found = _panel(own.section, frame, f"{name} (profile {columns[name].profile})")
        panels.append(panel)
        alts.append(alt)
        seen.append(f"{name[0].upper()}{name[1:]}: {found}.")
    _, axis = MEASURES[own.section]
    caption = (f"{axis.partition(',')[0]} in % of this run and of saved ones, a panel and an axis each: they have "
               "other models and other images.")
    return show(panels, caption, alts, " ".join(seen))


def _scores(run: Result) -> pd.DataFrame:
    """The records that a run's panel shows; where its curves are sets, those of its first foundation model."""
    metric, _ = MEASURES[run.section]
    frame = table(record for record in run.records if record.profile in ("tiny", "paper") and record.metric == metric
                  and record.dataset != "average" and record.setting in TABLE_ROWS and not record.refinement)
    if run.section == "C":  # a method there is a model; the control of each has the same name
        frame = frame[frame["rule"] == paper.DEFAULT_RULE]
        return frame.assign(method=frame["method"].str.removeprefix("ProxyCLIP (").str.removesuffix(")"))
    if run.section in CURVES:
        along, _, _ = CURVES[run.section]
        frame = frame[frame[along].notna()]
        if along == "beta":
            frame = frame[frame["gamma"] == paper.DEFAULT_GAMMA]
            frame = frame[frame["vfm"] == next(iter(frame["vfm"]), "")]
        return frame
    return frame[[SWEPT.match(rule) is None for rule in frame["rule"]]]


def _panel(section: str, frame: pd.DataFrame, title: str) -> tuple[Panel, str, str]:
    """A run's panel, its text alternative, and what it shows in a few words."""
    _, axis = MEASURES[section]
    if section in CURVES:
        along, words, each = CURVES[section]
        curves = {name: part.groupby(along)["value"].mean() for name, part in frame.groupby(each, sort=False)}
        best = "; ".join(f"{name} best at {along} {curve.idxmax():g} with {curve.max():.1f}"
                         for name, curve in curves.items())
        return lines(curves, words, axis, title), f"{best}.", best
    several = (frame.groupby("method")["vfm"].nunique() > 1).any()
    named = (frame["method"] + ", " + frame["label"]).where(frame["vfm"] != "", frame["method"])
    frame = frame.assign(row=named if several else frame["method"])
    wide = frame.pivot_table(index="dataset", columns="row", values="value", sort=False)
    return dots(wide, axis, title), highest(wide), f"{leaders(wide)} sets"
