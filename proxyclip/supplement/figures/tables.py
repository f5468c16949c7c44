"""Tables of the book: measured numbers, printed ones below them in the same shape, and verdicts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from proxyclip.supplement.claims.claim import Claim
from proxyclip.supplement.claims.ledger import CHECKS, CLAIMS, judge, judge_by_vfm
from proxyclip.supplement.paper import published
from proxyclip.supplement.records import Record, Result, Verdict, card_notes

#: Mark of a verdict, readable without its colour.
MARKS = {"holds": ("✓", "verdict-holds"), "does not hold": ("✗", "verdict-fails"), "not run": ("–", "verdict-open")}


@dataclass(frozen=True, repr=False)
class Shown:
    """What a notebook and the book show: a table, several of them, or a sentence.

    Parameters
    ----------
    page : str
        As HTML.
    words : str
        For a terminal: the caption, or the sentence.
    """

    page: str
    words: str

    def to_html(self) -> str:
        """What is shown, as HTML."""
        return self.page

    _repr_html_ = to_html

    def __repr__(self) -> str:
        return self.words


def note(sentence: str) -> Shown:
    """A sentence in the place of a table."""
    return Shown(f"<p>{html.escape(sentence)}</p>", sentence)


def folded(summary: str, *contents: Any) -> Shown:
    """Tables or figures behind a line that opens them."""
    inside = "".join(content._repr_html_() for content in contents)
    return Shown(f"<details><summary>{html.escape(summary)}</summary>{inside}</details>", " ".join(map(repr, contents)))


def as_html(
    head: Sequence[str], rows: Sequence[Sequence[str]], classes: str = "table dataframe", caption: str = ""
) -> str:
    """HTML from cells that are HTML already; a row begins with its heading, which without values is that of a group."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = ""
    for name, *cells in rows:
        kind = "" if any(cells) else ' class="group"'
        body += f'<tr{kind}><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
    name = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f'<table class="{classes}">{name}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def boxed(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, classes: str = "table dataframe") -> Shown:
    """:func:`as_html` in a box that scrolls where the page is too narrow."""
    body = as_html(head, rows, classes, caption)
    return Shown(f'<div class="table-figure"><div style="overflow-x:auto">{body}</div></div>', caption)


def ledger(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Shown:
    """A table of verdicts; the style sheet gives their text more room than its first column."""
    return Shown(f'<div class="ledger">{boxed(head, rows, caption).page}</div>', caption)


def _number(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}"  # no "-0.0"


def table(frame: pd.DataFrame, caption: str, digits: int = 2, errors: pd.DataFrame | None = None) -> Shown:
    """A frame with a caption; every name and text in it is escaped.

    Parameters
    ----------
    frame : DataFrame
        Its index comes first.
    caption : str
        With profile, sample size and units.
    digits : int
        Decimals of the numbers; whole numbers have none, and an empty cell is a dash.
    errors : DataFrame, optional
        Standard errors, by the same row and column names, written after the values; NaN where there is none.
    """
    text = frame.map(lambda cell: str(cell) if isinstance(cell, str | int | np.integer) else _number(cell, digits))
    if errors is not None:
        errors = errors.reindex(index=frame.index, columns=frame.columns)
        text += errors.map(lambda error: "" if pd.isna(error) else f" ±\u00a0{error:.{digits}f}")
    text = text.reset_index(level=list(range(1, frame.index.nlevels)))  # the first level heads the rows
    text = text.rename_axis(index=None, columns=text.index.name)
    with pd.option_context("display.max_colwidth", None):
        page = text.to_html(classes="table", border=0, justify="unset")
    page = page.replace(">", f"><caption>{html.escape(caption)}</caption>", 1)
    return Shown(f'<div class="table-figure"><div style="overflow-x:auto">{page}</div></div>', caption)


def plain(frame: pd.DataFrame, caption: str, digits: int = 1, errors: pd.DataFrame | None = None) -> Shown:
    """A frame as it is; the index is the first column.

    Parameters
    ----------
    frame : DataFrame
    caption : str
        With profile, sample size and units.
    digits : int
    errors : DataFrame, optional
        Standard errors of the same shape, written after the values; NaN where there is none.
    """
    rows = []
    for row, (name, values) in enumerate(zip(frame.index, frame.to_numpy(dtype=object), strict=True)):
        cells = []
        for column, cell in enumerate(values):
            text = cell if isinstance(cell, str) else _number(cell, digits)
            error = float("nan") if errors is None else float(errors.iloc[row, column])
            cells.append(html.escape(text) + ("" if pd.isna(error) else f" ±\u00a0{error:.{digits}f}"))
        rows.append([html.escape(str(name)), *cells])
    return boxed([html.escape(frame.index.name or ""), *map(str, frame.columns)], rows, caption)


def matrix(
    measured: pd.DataFrame, paper: Shown | None, caption: str, errors: pd.DataFrame | None = None
) -> Shown:
    """Measured values, and below them the supplement's table in the same form; the two are never subtracted.

    Parameters
    ----------
    measured : DataFrame
    paper : Shown, optional
        The supplement's table, complete: one of :mod:`proxyclip.supplement.figures.printed`.
    caption : str
        Of the measured table.
    errors : DataFrame, optional
        Standard errors of the measured values.
    """
    measured = measured.dropna(how="all").dropna(how="all", axis=1)
    errors = None if errors is None else errors.reindex(index=measured.index, columns=measured.columns)
    if errors is not None and errors.notna().any(axis=None):
        caption += " After ±: the standard error over the images."
    stack = [plain(measured, caption, errors=errors), *([paper] if paper else [])]
    return Shown("".join(one.page for one in stack), " ".join(one.words for one in stack))


def badge(status: str, words: str = "") -> str:
    """A verdict as a mark with its words, by default those of its status."""
    mark, name = MARKS[status]
    return f'<span class="verdict {name}">{mark}\u00a0{words or status}</span>'


def judged(verdict: Verdict) -> str:
    """A verdict with its figures and, where it fails and the records explain it, the reason, as HTML."""
    return _with_figures(verdict, badge(verdict.status))


def judged_in_print(verdict: Verdict) -> str:
    """A verdict on the supplement's own tables: they may not print what a claim needs."""
    return _with_figures(verdict, badge(verdict.status, "not printed" if verdict.status == "not run" else ""))


def _with_figures(verdict: Verdict, mark: str) -> str:
    named = verdict.figures.startswith(f"With {verdict.vfm}: ")  # the sentence says already which model it is about
    about = f" ({html.escape(verdict.vfm)})" if verdict.vfm and not named else ""
    reason = f"<br/><strong>Why:</strong> {html.escape(verdict.reason)}" if verdict.reason else ""
    return f"{mark}{about}<br/><small>{html.escape(verdict.figures)}{reason}</small>"


def distinct(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The first verdict on a claim, and those with further models that were judged."""
    first, *rest = verdicts
    return [first, *(verdict for verdict in rest if verdict.status != "not run")]


def stacked(verdicts: Iterable[Verdict]) -> str:
    """Verdicts on one claim below each other, one for each foundation model, as HTML."""
    return "".join(f'<div class="one-verdict">{judged(verdict)}</div>' for verdict in distinct(verdicts))


def verdicts(result: Result) -> Shown:
    """The claims of a chapter: statement and test, the verdict, and that on the paper's own tables.

    Where several foundation models were measured, claims about one have a verdict for each, below each other.
    """
    others = list(judge_by_vfm(result.records, result.section).values())[1:]
    printed = judge(published(result.section), result.section)
    rows = []
    for verdict in result.verdicts:
        further = (found[verdict.claim] for found in others if verdict.claim in found)
        rows.append([*_heading(CLAIMS[verdict.claim]), stacked([verdict, *further]),
                     judged_in_print(printed[verdict.claim])])
    head = ["claim", "what the supplement says", f"measured (profile {result.profile})", "the paper's own tables"]
    return ledger(head, rows, f"The claims of section {result.section}, judged on this run and on the supplement's own "
                              "numbers by one function.")


def own_checks(result: Result) -> Shown:
    """What we check beside the sentences of the supplement."""
    rows = [[*_heading(CHECKS[verdict.claim]), judged(verdict)] for verdict in result.checks]
    head = ["check", "what we ask, and the test", f"measured (profile {result.profile})"]
    return ledger(head, rows, "Checks of our own: the supplement does not say these sentences.")


def _heading(claim: Claim) -> tuple[str, str]:
    """First cells of a claim's row."""
    return claim.id, f"{html.escape(claim.statement)}<br/><small>Test: {html.escape(claim.criterion)}</small>"


def alternatives(under: Mapping[str, Mapping[str, Verdict]], caption: str) -> Shown:
    """The same claims under several readings: a row per reading, a column per claim."""
    names = list(dict.fromkeys(claim for verdicts in under.values() for claim in verdicts))
    rows = [[html.escape(reading), *(judged(found[name]) for name in names)] for reading, found in under.items()]
    return boxed(["reading", *names], rows, caption)


#: Rules whose values are not listed beside those of other runs, since sweeps would fill pages.
SWEPT = re.compile(r"(?!adaptive:1\.2,3$)adaptive|hard|(qk|qq|kk)/")


def runs(own: Result, others: Mapping[str, Result]) -> Shown:
    """This run beside others: the verdicts, then the values at the defaults; a sentence where there is no other run.

    Parameters
    ----------
    own : Result
    others : mapping of a run's name to its result
        As :meth:`proxyclip.supplement.experiment.Experiment.others` gives it.
    """
    if not others:
        return note("Other runs of this chapter appear here, beside this one, when they are saved under results/. "
                    "There is none yet.")
    columns = {f"this run ({own.profile})": own, **{f"{name} ({run.profile})": run for name, run in others.items()}}
    found = [{verdict.claim: verdict for verdict in run.verdicts} for run in columns.values()]
    rows = [[f"claim {claim}", *(badge(part[claim].status) if claim in part else "" for part in found)]
            for claim in dict.fromkeys(claim for part in found for claim in part)]
    values = [{_short(record): record.value for record in run.records
               if not SWEPT.match(record.rule) and not record.setting.startswith("beta")} for run in columns.values()]
    rows += [[html.escape(key), *(_number(part.get(key, float("nan")), 1) for part in values)]
             for key in dict.fromkeys(key for part in values for key in part)]
    devices = [f"{name}: {run.provenance.get('machine', run.provenance.get('device', ''))}"
               for name, run in columns.items()]
    notes = ". ".join([*devices, *card_notes(columns)])
    return folded("This run beside others", boxed(["", *map(html.escape, columns)], rows,
                                                  f"Other runs of this chapter. {notes}."))


def _short(record: Record) -> str:
    step = "" if record.time_step is None else f"t = {record.time_step}"
    refined = record.refinement and f"with {record.refinement}"
    parts = (record.metric, record.dataset, record.method, record.vfm, record.setting, refined, step, record.unit)
    return ", ".join(part for part in parts if part)
