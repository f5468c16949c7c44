"""Tables of the book: measured numbers, printed ones below them in the same shape, and verdicts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from proxyclip.supplement.claims.claim import Claim
from proxyclip.supplement.claims.ledger import CHECKS, CLAIMS, judge_by_vfm
from proxyclip.supplement.records import Record, Result, Verdict, card_notes

#: Mark of a verdict, readable without its colour.
MARKS = {"holds": ("✓", "verdict-holds"), "does not hold": ("✗", "verdict-fails"), "not run": ("–", "verdict-open")}


@dataclass(frozen=True)
class Table:
    """A table as a notebook and the book render it.

    Parameters
    ----------
    body : str
        HTML of the table, with its caption inside where it has one.
    caption : str
        With profile, sample size and units.
    """

    body: str
    caption: str

    def to_html(self) -> str:
        """The table with its caption; it scrolls where the page is too narrow."""
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        body = re.sub(r"(<table\b[^>]*>)(?!<caption)", lambda match: match[1] + caption, self.body, count=1)
        return f'<div class="table-figure"><div style="overflow-x:auto">{body}</div></div>'

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.caption


@dataclass(frozen=True)
class Stack:
    """Tables of one shape, one below the other: what was measured, and what the supplement prints."""

    tables: tuple[Table, ...]

    @property
    def caption(self) -> str:
        """The captions of all of them."""
        return " ".join(table.caption for table in self.tables)

    def to_html(self) -> str:
        """The tables as HTML."""
        return "".join(table.to_html() for table in self.tables)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.caption


def as_html(
    head: Sequence[str], rows: Sequence[Sequence[str]], classes: str = "table dataframe", caption: str = ""
) -> str:
    """HTML from cells that are HTML already; the first cell of a row is its heading."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>' for row in rows)
    name = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f'<table class="{classes}">{name}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _number(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}"  # no "-0.0"


def plain(frame: pd.DataFrame, caption: str, digits: int = 1, errors: pd.DataFrame | None = None) -> Table:
    """A frame as it is; the index is the first column.

    Parameters
    ----------
    frame : DataFrame
    caption : str
        With profile, sample size and units.
    digits : int
    errors : DataFrame, optional
        Standard errors of the same shape, written behind the values; NaN where there is none.
    """
    rows = []
    for row, (name, values) in enumerate(zip(frame.index, frame.to_numpy(dtype=object), strict=True)):
        cells = []
        for column, cell in enumerate(values):
            text = cell if isinstance(cell, str) else _number(cell, digits)
            error = float("nan") if errors is None else float(errors.iloc[row, column])
            cells.append(html.escape(text) + ("" if pd.isna(error) else f" ±\u00a0{error:.{digits}f}"))
        rows.append([html.escape(str(name)), *cells])
    return Table(as_html([html.escape(frame.index.name or ""), *map(str, frame.columns)], rows), caption)


def matrix(
    measured: pd.DataFrame, paper: pd.DataFrame | Table | None, caption: str, digits: int = 1,
    errors: pd.DataFrame | None = None,
) -> Stack:
    """What was measured, and below it what the supplement prints, in tables of one shape that are never subtracted.

    Parameters
    ----------
    measured : DataFrame
    paper : DataFrame or Table, optional
        The supplement's table, complete: usually one of :mod:`proxyclip.supplement.figures.printed`.
    caption : str
        Of the measured table.
    digits : int
    errors : DataFrame, optional
        Standard errors of the measured values.
    """
    measured = measured.dropna(how="all").dropna(how="all", axis=1)
    errors = None if errors is None else errors.reindex(index=measured.index, columns=measured.columns)
    if errors is not None and errors.notna().any(axis=None):
        caption += " Behind ±: the standard error over the images."
    stacked = [plain(measured, caption, digits, errors)]
    if isinstance(paper, pd.DataFrame) and not paper.empty:
        paper = plain(paper, "Printed in the supplement.", digits)
    return Stack((*stacked, *([paper] if isinstance(paper, Table) else [])))


def badge(status: str, words: str = "") -> str:
    """A verdict as a mark with its words, by default those of its status."""
    mark, name = MARKS[status]
    return f'<span class="verdict {name}">{mark}\u00a0{words or status}</span>'


def judged(verdict: Verdict) -> str:
    """A verdict with its figures and, where it fails and the records say why, the reason, as HTML."""
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


class Verdicts(Table):
    """A table of verdicts: its text needs more room than its first column."""

    def to_html(self) -> str:
        """The table in the box that the style sheet lays out for verdicts."""
        return f'<div class="ledger">{super().to_html()}</div>'


def verdicts(result: Result, published: Mapping[str, Verdict] | None = None) -> Verdicts:
    """The claims of a chapter: statement and test, the verdict, and that on the paper's own tables.

    Where several foundation models were measured, claims about one have a verdict for each, below each other.
    """
    others = list(judge_by_vfm(result.records, result.section).values())[1:]
    rows = []
    for verdict in result.verdicts:
        printed = (published or {}).get(verdict.claim)
        further = (found[verdict.claim] for found in others if verdict.claim in found)
        rows.append([*_heading(CLAIMS[verdict.claim]), stacked([verdict, *further]),
                     "" if printed is None else judged_in_print(printed)])
    head = ["claim", "what the supplement says", f"measured (profile {result.profile})", "the paper's own tables"]
    table = Table(as_html(head, rows), f"The claims of section {result.section}, judged on this run and on the "
                  "supplement's own numbers by one function.")
    return Verdicts(table.body, table.caption)


def own_checks(result: Result) -> Table | str:
    """What we check beside the sentences of the supplement; a sentence where the chapter has no such check."""
    if not result.checks:
        return "This chapter has no checks of our own."
    rows = [[*_heading(CHECKS[verdict.claim]), judged(verdict)] for verdict in result.checks]
    head = ["check", "what we ask, and the test", f"measured (profile {result.profile})"]
    return Verdicts(as_html(head, rows), "Checks of our own: the supplement does not say these sentences.")


def _heading(claim: Claim) -> tuple[str, str]:
    """First cells of a claim's row."""
    return claim.id, f"{html.escape(claim.statement)}<br/><small>Test: {html.escape(claim.criterion)}</small>"


def alternatives(under: Mapping[str, Mapping[str, Verdict]], caption: str) -> Table:
    """The same claims under several readings: a row per reading, a column per claim."""
    names = list(dict.fromkeys(claim for verdicts in under.values() for claim in verdicts))
    rows = [[html.escape(reading), *(judged(found[name]) for name in names)] for reading, found in under.items()]
    return Table(as_html(["reading", *names], rows), caption)


class Shown(Protocol):
    """What a notebook shows as HTML."""

    def _repr_html_(self) -> str: ...


@dataclass(frozen=True)
class Folded:
    """Long tables or further figures behind a line that opens them."""

    summary: str
    contents: tuple[Shown, ...]

    def to_html(self) -> str:
        """The line and what it opens as HTML."""
        inside = "".join(content._repr_html_() for content in self.contents)
        return f"<details><summary>{html.escape(self.summary)}</summary>{inside}</details>"

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return " ".join(map(repr, self.contents))


@dataclass(frozen=True)
class Note:
    """A sentence in the place of a table."""

    text: str

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.text)}</p>"

    def __repr__(self) -> str:
        return self.text


#: Rules whose values are not listed beside those of other runs, since sweeps would fill pages.
SWEPT = re.compile(r"(?!adaptive:1\.2,3$)adaptive|hard|(qk|qq|kk)/")


def runs(own: Result, others: Mapping[str, Result]) -> Folded | Note:
    """This run beside others: verdicts first, then the values at the defaults; a sentence where there is none.

    Parameters
    ----------
    own : Result
    others : mapping of a run's name to its result
        As :meth:`proxyclip.supplement.experiment.Experiment.others` gives it.
    """
    if not others:
        return Note("Other runs of this chapter appear here, beside this one, when they are saved under results/. "
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
    body = as_html(["", *map(html.escape, columns)], rows)
    return Folded("This run beside others", (Table(body, f"Other runs of this chapter. {notes}."),))


def _short(record: Record) -> str:
    parts = (record.metric, record.dataset, record.method, record.vfm, record.setting, record.unit)
    return ", ".join(part for part in parts if part)
