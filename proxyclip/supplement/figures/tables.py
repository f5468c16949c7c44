"""Tables of the book: paper, measured and difference side by side, and verdicts."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from proxyclip.supplement.claims.claim import Claim
from proxyclip.supplement.claims.ledger import CHECKS, CLAIMS, judge_by_vfm
from proxyclip.supplement.records import Record, Result, Verdict

#: Mark of a verdict, readable without its colour.
MARKS = {"holds": ("✓", "#006B4E"), "does not hold": ("✗", "#A63F00"), "not run": ("–", "#6E6E6E")}


@dataclass(frozen=True)
class Table:
    """A table as a notebook and the book render it.

    Parameters
    ----------
    body : str
        HTML of the table.
    caption : str
        With profile, sample size and units.
    """

    body: str
    caption: str

    def to_html(self) -> str:
        """The table with its caption; it scrolls where the page is too narrow."""
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return (f'<figure style="margin:1em 0"><div style="overflow-x:auto">{self.body}</div>{caption}</figure>')

    def _repr_html_(self) -> str:
        return self.to_html()

    def __repr__(self) -> str:
        return self.caption


def as_html(head: Sequence[str], rows: Sequence[Sequence[str]], classes: str = "table dataframe") -> str:
    """HTML from cells that are HTML already; the first cell of a row is its heading."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(
        f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f'<table class="{classes}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _number(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def plain(frame: pd.DataFrame, caption: str, digits: int = 1) -> Table:
    """A frame as it is; the index is the first column."""
    rows = [[html.escape(str(name)), *(html.escape(cell if isinstance(cell, str) else _number(cell, digits))
                                       for cell in row)]
            for name, row in zip(frame.index, frame.to_numpy(dtype=object), strict=True)]
    return Table(as_html([html.escape(frame.index.name or ""), *map(str, frame.columns)], rows), caption)


def matrix(measured: pd.DataFrame, paper: pd.DataFrame | None, caption: str, digits: int = 1) -> Table:
    """Three numbers a cell, in the form of the supplement's tables: measured, the paper's, and the difference.

    Parameters
    ----------
    measured, paper : DataFrame
        The rows and columns of the measured values are shown, together with rows and columns that only the paper has.
    """
    paper = pd.DataFrame() if paper is None else paper
    index = [*measured.index, *(name for name in paper.index if name not in measured.index)]
    columns = [*measured.columns, *(name for name in paper.columns if name not in measured.columns)]
    measured, paper = (frame.reindex(index=index, columns=columns) for frame in (measured, paper))
    rows = []
    for name in index:
        cells = []
        for column in columns:
            ours, theirs = measured.loc[name, column], paper.loc[name, column]
            small = f'<br/><span style="color:#6E6E6E">{_number(theirs, digits)}</span>'
            apart = "" if pd.isna(ours) or pd.isna(theirs) else f'<br/><small>{ours - theirs:+.{digits}f}</small>'
            cells.append(f"<b>{_number(ours, digits)}</b>{small}{apart}")
        rows.append([html.escape(str(name)), *cells])
    note = "In each cell: measured, in grey the paper's, then the difference."
    return Table(as_html(["", *(html.escape(str(column)) for column in columns)], rows), f"{caption} {note}")


def badge(status: str) -> str:
    """A verdict as a mark with its words."""
    mark, colour = MARKS[status]
    return f'<span style="color:{colour};white-space:nowrap">{mark} {status}</span>'


def judged(verdict: Verdict) -> str:
    """A verdict with its figures and, where it does not hold, the measured reason, as HTML."""
    said = f"{verdict.figures} {verdict.reason}".strip()
    return f"{badge(verdict.status)}<br/><small>{html.escape(said)}</small>"


def verdicts(result: Result, published: Mapping[str, Verdict] | None = None) -> Table:
    """The claims of a chapter: statement and test, the verdict, and that on the paper's own tables.

    Where several foundation models were measured, claims about one have a verdict for each, in a column of its own.
    """
    others = dict(list(judge_by_vfm(result.records, result.section).items())[1:])
    rows = []
    for verdict in result.verdicts:
        printed = (published or {}).get(verdict.claim)
        rows.append([
            *_heading(CLAIMS[verdict.claim]), judged(verdict),
            *(judged(found[verdict.claim]) if verdict.claim in found else "" for found in others.values()),
            "" if printed is None else judged(printed),
        ])
    first = next((verdict.vfm for verdict in result.verdicts if verdict.vfm), "")
    named = f"measured (profile {result.profile}{f', {first}' if first and others else ''})"
    head = ["claim", "what the supplement says", named, *others, "the paper's own tables"]
    return Table(as_html(head, rows), "")


def own_checks(result: Result) -> Table | str:
    """What we check beside the sentences of the supplement; a sentence where the chapter has no such check."""
    if not result.checks:
        return "This chapter has no checks of our own."
    rows = [[*_heading(CHECKS[verdict.claim]), judged(verdict)] for verdict in result.checks]
    return Table(as_html(["check", "what we ask, and the test", f"measured (profile {result.profile})"], rows),
                 "Checks of our own: the supplement does not say these sentences.")


def _heading(claim: Claim) -> tuple[str, str]:
    """First cells of a claim's row."""
    return claim.id, f"{html.escape(claim.statement)}<br/><small>Test: {html.escape(claim.criterion)}</small>"


def alternatives(under: Mapping[str, Mapping[str, Verdict]], caption: str) -> Table:
    """The same claims under several readings: a row per reading, a column per claim."""
    names = list(dict.fromkeys(claim for verdicts in under.values() for claim in verdicts))
    rows = [[html.escape(reading), *(judged(found[name]) for name in names)] for reading, found in under.items()]
    return Table(as_html(["reading", *names], rows), caption)


#: Rules whose values are not listed beside those of other runs, since sweeps would fill pages.
SWEPT = re.compile(r"(?!adaptive:1\.2,3$)adaptive|hard|(qk|qq|kk)/")


def runs(own: Result, others: Mapping[str, Result]) -> Table | None:
    """This run beside others: verdicts first, then the values at the defaults; None where there is no other run.

    Parameters
    ----------
    own : Result
    others : mapping of a run's name to its result
        As :meth:`proxyclip.supplement.experiment.Experiment.others` gives it.
    """
    if not others:
        return None
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
    return Table(as_html(["", *map(html.escape, columns)], rows), f"Other runs of this chapter. {'. '.join(devices)}.")


def _short(record: Record) -> str:
    parts = (record.metric, record.dataset, record.method, record.vfm, record.setting, record.unit)
    return ", ".join(part for part in parts if part)


def status_table(results: Mapping[str, Sequence[Verdict]]) -> Table:
    """How many claims hold, per source of the records and section.

    Parameters
    ----------
    results : mapping of a source's name to its verdicts
    """
    head = ["numbers from", "holds", "does not hold", "not run"]
    rows = []
    for name, found in results.items():
        counts = [", ".join(verdict.claim for verdict in found if verdict.status == status) for status in MARKS]
        totals = [sum(verdict.status == status for verdict in found) for status in MARKS]
        rows.append([html.escape(name), *(f"<b>{total}</b><br/><small>{names}</small>"
                                          for total, names in zip(totals, counts, strict=True))])
    return Table(as_html(head, rows), "Claims of the supplement by verdict.")
