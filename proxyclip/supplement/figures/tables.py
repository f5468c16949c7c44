"""Tables of the book: numbers, verdicts, and other runs beside this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from proxyclip.supplement.claims.claim import Claim
from proxyclip.supplement.claims.ledger import CHECKS, CLAIMS, judge, judge_by_vfm
from proxyclip.supplement.claims.marks import badge
from proxyclip.supplement.paper import DEFAULT_BETA, DEFAULT_GAMMA, published
from proxyclip.supplement.records import Record, Result, Verdict

#: Words of the verdict on the supplement's own tables, where they do not print what a claim needs.
NOT_PRINTED = "not printed"


@dataclass(frozen=True, repr=False)
class Shown:
    """What a notebook and the book show: a table, several of them, or a sentence."""

    page: Markup  #: HTML; what people wrote is escaped in it.
    words: str  #: For a terminal: the caption, or the sentence.

    def to_html(self) -> Markup:
        """What is shown, as HTML."""
        return self.page

    _repr_html_ = to_html

    def __repr__(self) -> str:
        return self.words


def note(sentence: str) -> Shown:
    """A sentence in the place of a table."""
    return Shown(Markup("<p>{}</p>").format(sentence), sentence)


def folded(summary: str, *contents: Any) -> Shown:
    """Tables or figures behind a line that opens them."""
    inside = Markup("").join(Markup(content._repr_html_()) for content in contents)
    page = Markup("<details><summary>{}</summary>{}</details>").format(summary, inside)
    return Shown(page, " ".join(map(repr, contents)))


def as_html(
    head: Sequence[str], rows: Sequence[Sequence[str]], classes: str = "table dataframe", caption: str = ""
) -> Markup:
    """A table as HTML: every cell is escaped here, unless it is HTML already (:class:`markupsafe.Markup`).

    A row begins with its heading, which without values is that of a group. In a table of the class ``cards`` each cell
    knows the heading of its column, so that a narrow screen can show the rows as cards.
    """
    top = Markup("").join(Markup('<th scope="col">{}</th>').format(cell) for cell in head)
    labelled = Markup(' data-label="{}"') if "cards" in classes.split() else Markup("")
    labels = [labelled.format(Markup(cell).striptags()) for cell in head[1:]]
    body = Markup("")
    for name, *cells in rows:
        values = Markup("").join(Markup("<td{}>{}</td>").format(label, cell)
                                 for label, cell in zip(labels, cells, strict=True))
        kind = Markup("") if any(cells) else Markup(' class="group"')
        body += Markup('<tr{}><th scope="row">{}</th>{}</tr>').format(kind, name, values)
    title = Markup("<caption>{}</caption>").format(caption) if caption else ""
    return Markup('<table class="{}">{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table>').format(
        classes, title, top, body)


def boxed(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, classes: str = "table dataframe") -> Shown:
    """:func:`as_html` in a box that scrolls where the page is too narrow."""
    body = as_html(head, rows, classes, caption)
    return Shown(Markup('<div class="table-figure"><div style="overflow-x:auto">{}</div></div>').format(body), caption)


def ledger(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> Shown:
    """A table of verdicts; the style sheet gives their text more room than its first column."""
    body = boxed(head, rows, caption, "table dataframe cards").page
    return Shown(Markup('<div class="ledger">{}</div>').format(body), caption)


def _number(value: float, digits: int) -> str:
    return "–" if pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}"  # no "-0.0"


def table(frame: pd.DataFrame, caption: str, digits: int = 2, errors: pd.DataFrame | None = None) -> Shown:
    """A frame, its index first, with a caption (profile, sample size and units); every name and text is escaped.

    Numbers have so many decimal ``digits``, whole ones none, and an empty cell is a dash. Standard ``errors``, by the
    same row and column names, are written after the values, unless they are NaN.
    """
    text = frame.map(lambda cell: str(cell) if isinstance(cell, str | int | np.integer) else _number(cell, digits))
    if errors is not None:
        errors = errors.reindex(index=frame.index, columns=frame.columns)
        text += errors.map(lambda error: "" if pd.isna(error) else f" ±\u00a0{error:.{digits}f}")
    text = text.reset_index(level=list(range(1, frame.index.nlevels)))  # the first level heads the rows
    rows = [[str(name), *cells] for name, cells in zip(text.index, text.to_numpy(), strict=True)]
    return boxed([text.index.name or "", *map(str, text.columns)], rows, caption)


def judged(verdict: Verdict, not_run: str = "not run") -> Markup:
    """A verdict with its figures, as HTML; ``not_run`` are the words where there is none."""
    mark = badge(verdict.status, not_run if verdict.status == "not run" else "")
    return Markup("{}<br/><small>{}</small>").format(mark, verdict.figures)


def stacked(verdicts: Iterable[Verdict]) -> Markup:
    """The first verdict on a claim, and those with further models that were judged, below each other as HTML."""
    shown = [verdict for place, verdict in enumerate(verdicts) if place == 0 or verdict.status != "not run"]
    return Markup("").join(Markup('<div class="one-verdict">{}</div>').format(judged(verdict)) for verdict in shown)


def verdicts(result: Result) -> Shown:
    """The claims of a chapter: statement and test, the verdict, and that on the paper's own tables.

    Where several foundation models were measured, claims about one have a verdict for each, below each other.
    """
    others = list(judge_by_vfm(result.records, result.section).values())[1:]
    printed = judge(published(result.section), result.section)
    rows = []
    for verdict in result.verdicts:
        further = (found[verdict.claim] for found in others if verdict.claim in found)
        rows.append([verdict.claim, statement(CLAIMS[verdict.claim]), stacked([verdict, *further]),
                     judged(printed[verdict.claim], NOT_PRINTED)])
    head = ["claim", "what the supplement says", f"measured (profile {result.profile})", "the paper's own tables"]
    return ledger(head, rows, f"The claims of section {result.section}, judged on this run and on the supplement's own "
                              "numbers by one function.")


def own_checks(result: Result) -> Shown:
    """What we check beside the sentences of the supplement."""
    rows = [[verdict.claim, statement(CHECKS[verdict.claim]), judged(verdict)] for verdict in result.checks]
    head = ["check", "what we ask, and the test", f"measured (profile {result.profile})"]
    return ledger(head, rows, "Checks of our own: the supplement does not say these sentences.")


def statement(claim: Claim) -> Markup:
    """What a claim says and how it is tested, as HTML."""
    return Markup("{}<br/><small>Test: {}</small>").format(claim.statement, claim.criterion)


def runs(own: Result, others: Mapping[str, Result]) -> Shown:
    """This run beside others (:meth:`proxyclip.supplement.experiment.Experiment.others`), by their names.

    The verdicts come first, then the values at the defaults, means over seeds; a sentence if there is no other run.
    """
    if not others:
        return note("Other runs of this chapter appear here, beside this one, when they are saved under results/. "
                    "There is none yet.")
    columns = {f"this run ({own.profile})": own, **{f"{name} ({run.profile})": run for name, run in others.items()}}
    found = [{verdict.claim: verdict for verdict in run.verdicts} for run in columns.values()]
    rows = [[f"claim {claim}", *(badge(part[claim].status) if claim in part else "" for part in found)]
            for claim in dict.fromkeys(claim for part in found for claim in part)]
    kept = [(name, _short(record), record.value) for name, run in columns.items() for record in run.records
            if _at_the_defaults(record)]
    values = pd.DataFrame(kept, columns=["run", "key", "value"]).pivot_table("value", "key", "run", sort=False)
    rows += [[key, *(_number(value, 2) for value in line)] for key, line in
             zip(values.index, values.reindex(columns=list(columns)).to_numpy(), strict=True)]
    devices = [f"{name}: {run.provenance.get('machine', run.provenance.get('device', ''))}"
               for name, run in columns.items()]
    notes = ". ".join([*devices, *card_notes(columns)])
    return folded("This run beside others", boxed(["", *columns], rows, f"Other runs of this chapter. {notes}."))


def _at_the_defaults(record: Record) -> bool:
    """Whether a record is none of a sweep, whose values would fill pages."""
    default = (record.beta, record.gamma) == (DEFAULT_BETA, DEFAULT_GAMMA) and "/" not in record.rule
    return record.alpha is None and (record.beta is None or default)


def _short(record: Record) -> str:
    step = "" if record.time_step is None else f"t = {record.time_step}"
    refined = record.refinement and f"with {record.refinement}"
    over = record.over and f"over {record.over}"
    parts = (record.metric, record.dataset, record.method, record.rule, record.vfm, record.setting, refined, over, step,
             record.unit)
    return ", ".join(part for part in parts if part)


def card_notes(runs: Mapping[str, Result]) -> list[str]:
    """Sentences about sets that the runs evaluated under different protocol cards; empty where all agree.

    Older results carry no cards; the sentence then says so.
    """
    notes = []
    sets = {name for run in runs.values() for name in run.provenance.get("cards", {})}
    for data in sorted(sets):
        cards: dict[tuple[str, str], list[str]] = {}
        for name, run in runs.items():
            card = run.provenance.get("cards", {}).get(data, {"name": "no card in the file", "sha256": ""})
            if any(record.dataset == data for record in run.records):
                cards.setdefault((card["name"], card["sha256"]), []).append(name)
        if len(cards) > 1:
            parts = "; ".join(f"{card} ({', '.join(names)})" for (card, _), names in cards.items())
            notes.append(f"{data} was evaluated under different protocols, so its values are not comparable: {parts}")
    return notes
