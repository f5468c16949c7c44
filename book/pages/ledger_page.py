"""Parts of pages that are made from results: the claims ledger, the status of the chapters, the cost of each reading.

:mod:`book.build` writes them into ``book/generated/`` before it builds the pages.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
import pandas as pd
from markupsafe import Markup

from book.pages.rendering import paragraph, render, write_fragments
from proxyclip.supplement import paper
from proxyclip.supplement.chapters.notebooks import chapter_notebooks
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.claims.claim import CLIP_KINDS, pivot
from proxyclip.supplement.claims.marks import MARKS
from proxyclip.supplement.figures import tables
from proxyclip.supplement.records import Result, Verdict, table
from proxyclip.supplement.result_files import load, load_all


@dataclass(frozen=True)
class Source:
    """Where verdicts come from: the printed tables, or a run."""

    name: str
    profile: str = ""  #: Of a run.
    vfm: str = ""  #: Of the book's own run, where the verdicts are about another model than a chapter's first.

    def __str__(self) -> str:
        return f"{self.name}{self.vfm and f', {self.vfm}'}{self.of_profile}"

    @property
    def of_profile(self) -> str:
        """The profile behind a name."""
        return self.profile and f" (profile {self.profile})"


#: The name of the book's own run.
OWN = "this book"
#: The supplement's own tables.
PRINTED = Source("the paper's own tables")
NOT_RUN_YET = "its chapter has not been run"
#: What follows the kind (qk, qq, kk) in a rule's name -> the reading of section E in words.
READINGS = {"": "full width, cosine", "dot": "full width, dot product", "each": "per head, cosine",
            "each/dot": "per head, dot product"}


@cache
def chapters() -> dict[str, tuple[str, str]]:
    """Title of each section, as the first line of its notebook has it, and the page of its chapter."""
    first_lines = {path.stem: nbformat.read(path, 4).cells[0].source.partition("\n")[0] for path in chapter_notebooks()}
    return {page[0]: (line.partition(". ")[2], page) for page, line in first_lines.items()}


def sources(data: Path, others: Path) -> dict[Source, dict[str, Result]]:
    """Results by source and section: the book's own run in ``data`` first, then those in the folders of ``others``."""
    found = ({OWN: own} if (own := own_results(data)) else {}) | load_all(others)
    return {Source(name, ", ".join(sorted({result.profile for result in parts.values()}))): parts
            for name, parts in found.items()}


def own_run(judged: Iterable[Source]) -> Source:
    """The book's own run, judged with the first foundation model of each chapter."""
    return next((source for source in judged if source.name == OWN and not source.vfm), Source(OWN))


def own_results(data: Path) -> dict[str, Result]:
    """Results of the book's own run by section."""
    return {result.section: result for result in map(load, sorted(data.glob("[A-Z].json")))}


def all_verdicts(data: Path, others: Path) -> dict[Source, dict[str, Verdict]]:
    """Verdicts by source and claim, the supplement's own tables first.

    The book's own run has a verdict on every claim, "not run" where the chapter is missing. Another run has only those
    of its chapters, and is omitted where no claim can be judged on it, as on a run of speeds.
    """
    found = {PRINTED: claims.judge(paper.published())}
    for source, parts in sources(data, others).items():
        run = {verdict.claim: verdict for result in parts.values() for verdict in result.verdicts}
        if source.name == OWN:
            found[source] = {name: run.get(name, Verdict(name, "not run", f"In this run {NOT_RUN_YET}."))
                             for name in claims.CLAIMS}
            found |= _by_other_vfms(parts)
        elif any(verdict.status != "not run" for verdict in run.values()):
            found[source] = {name: run[name] for name in claims.CLAIMS if name in run}
    return found


def _by_other_vfms(parts: Mapping[str, Result]) -> dict[Source, dict[str, Verdict]]:
    """Verdicts of the claims about one foundation model, for each model but a chapter's first."""
    found: dict[Source, dict[str, Verdict]] = {}
    for section, result in parts.items():
        for vfm, verdicts in list(claims.judge_by_vfm(result.records, section).items())[1:]:
            if verdicts:
                found.setdefault(Source(OWN, vfm=vfm), {}).update(verdicts)
    return found


def checks_table(data: Path) -> Markup:
    """Our own checks as HTML, from those chapters of the book that have run."""
    rows = [[verdict.claim, tables.statement(claims.CHECKS[verdict.claim]), tables.judged(verdict)]
            for result in own_results(data).values() for verdict in result.checks]
    if not rows:
        return paragraph("No chapter with checks of our own has been run.")
    return tables.ledger(["check", "what we ask, and the test", OWN], rows,
                         "Checks of our own, on the book's own run.").page


def different_protocols(data: Path, others: Path) -> str:
    """Sentences about sets that the sources evaluated under different protocol cards; empty where all agree."""
    found = sources(data, others)
    sections = sorted({section for parts in found.values() for section in parts})
    notes = [note for section in sections for note in tables.card_notes(
        {str(source): parts[section] for source, parts in found.items() if section in parts})]
    return "".join(f" {note[0].upper()}{note[1:]}." for note in dict.fromkeys(notes))


def ledger_table(judged: Mapping[Source, Mapping[str, Verdict]], protocols: str = "") -> Markup:
    """The claims ledger as HTML: a row for each claim, with its verdicts on the printed tables and on measured numbers.

    Each further foundation model of the book has a column of its own; verdicts of other runs appear below the book's.
    The caption ends with the sentences of :func:`different_protocols`.
    """
    columns = [own_run(judged), *(source for source in judged if source.vfm)]
    others = [source for source in judged if source != PRINTED and source not in columns]
    one = Markup('<div class="one-verdict">{}{}</div>')
    rows = []
    for name, claim in claims.CLAIMS.items():
        cells = [one.format("", tables.judged(judged[column][name])) if name in judged.get(column, {}) else Markup("")
                 for column in columns]
        cells[0] += Markup("").join(
            one.format(Markup("<small>{}:</small> ").format(other), tables.judged(judged[other][name]))
            for other in others if name in judged[other] and judged[other][name].status != "not run")
        rows.append([name, tables.statement(claim), tables.judged(judged[PRINTED][name], tables.NOT_PRINTED), *cells])
    caption = ("Every claim, its test, and its verdict with figures wherever there are numbers. A claim that is about "
               f"one foundation model has a verdict for each that was measured.{protocols}")
    head = ["claim", "what the supplement says, and the test", *map(str, (PRINTED, *columns))]
    return tables.ledger(head, rows, caption).page


def failed_claims(judged: Mapping[Source, Mapping[str, Verdict]]) -> Markup:
    """The claims that do not hold on the book's own run, each with its figures, as HTML."""
    found = []
    for name, claim in claims.CLAIMS.items():
        verdicts = [run[name] for source, run in judged.items() if source.name == OWN and name in run]
        failed = [verdict for verdict in verdicts if verdict.status == "does not hold"]
        if failed:
            models = ", ".join(verdict.vfm for verdict in failed if verdict.vfm)
            found.append({"name": name, "page": chapters()[claim.section][1],
                          "models": f" (with {models})" * bool(models), "statement": claim.statement,
                          "figures": " ".join(verdict.figures for verdict in failed)})
    return render("failed_claims", failed=found, profile=own_run(judged).of_profile)


def run_times(data: Path) -> Markup:
    """A sentence on how long the chapters of this copy of the book took, as HTML."""
    found = {section: result.provenance for section, result in own_results(data).items()}
    seconds = {section: kept["seconds"] for section, kept in found.items() if "seconds" in kept}
    if not seconds:
        return paragraph("The chapters of this copy have not been run.")
    listed = ", ".join(f"{section} {value:.0f}" for section, value in seconds.items())
    machines = "; ".join(dict.fromkeys(str(kept.get("machine", "")).partition(", torch")[0] for kept in found.values()))
    return paragraph(f"The chapters of this copy took {sum(seconds.values()) / 60:.0f} minutes one after the other, "
                     f"in seconds: {listed} ({machines}).")


def claims_picture(judged: Mapping[Source, Mapping[str, Verdict]], protocols: str = "") -> Markup:
    """All claims at a glance: a row for each chapter, a column for each source, a linked mark for each claim.

    A run of the book's own profile that agrees with the book, such as that of another machine, is shown in the ledger
    only.
    """
    book = own_run(judged)
    own = judged.get(book, {})
    judged = {one: found for one, found in judged.items() if one.profile != book.profile or one == book or any(
        claim not in own or verdict.status != own[claim].status for claim, verdict in found.items())}
    rows = [{"letter": section, "title": title, "page": page, "marks": [
        [(name, found[name].status, f"{name} {found[name].status}: {claim.statement}")
         for name, claim in claims.CLAIMS.items() if claim.section == section and name in found]
        for found in judged.values()]} for section, (title, page) in chapters().items()
        if any(claim.section == section for claim in claims.CLAIMS.values())]
    tallies = [Counter(verdict.status for verdict in found.values()) for found in judged.values()]
    return render("claims_picture", sources=judged, chapters=rows, protocols=protocols,
                  tallies=[{status: tally[status] for status in MARKS if tally[status]} for tally in tallies],
                  signs={status: sign for status, (sign, _) in MARKS.items()},
                  kinds={status: kind for status, (_, kind) in MARKS.items()})


def reading_costs(data: Path) -> Markup:
    """What the readings of section E score, as HTML; a sentence where chapter E has not been run."""
    if (result := own_results(data).get("E")) is None:
        return paragraph(f"Not measured: {NOT_RUN_YET} (E).")
    count = len({record.dataset for record in result.records})
    caption = f"Average mIoU in % of each reading over {count} sets (profile {result.profile}, chapter E)."
    values, errors = (readings(result, part) for part in ("value", "error"))
    return Markup(tables.table(values.rename_axis(None), caption, 1, errors).page)


def readings(result: Result, part: str = "value") -> pd.DataFrame:
    """Average mIoU (or its standard error) of chapter E: a row for each method, a column for each reading."""
    frame = table(result.records)
    frame = frame[(frame["metric"] == "miou") & frame["method"].isin(CLIP_KINDS.values())]
    frame = frame.assign(reading=[READINGS.get(rule.partition("/")[2]) for rule in frame["rule"]])
    return pivot(frame.dropna(subset="reading"), "method", "reading", part)


def readouts(result: Result) -> pd.DataFrame:
    """Records of chapter F: mIoU of the baselines, with residual connection and MLP and without."""
    frame = table(result.records)
    return frame[(frame["metric"] == "miou") & frame["setting"].isin([paper.FREE, paper.BARE]) & (frame["vfm"] == "")]


def readout_costs(data: Path) -> Markup:
    """What residual connection and MLP add to the baselines, as HTML; a sentence where chapter F has not been run."""
    if (result := own_results(data).get("F")) is None:
        return paragraph(f"Not measured: {NOT_RUN_YET} (F).")
    frame = readouts(result)
    words = {paper.FREE: "residual and MLP kept", paper.BARE: "attention alone"}
    frame = frame.assign(reading=frame["setting"].map(words))
    values, errors = (pivot(frame, "method", "reading", part) for part in ("value", "error"))
    names = ", ".join(sorted(set(frame["dataset"])))
    caption = f"mIoU in % on {names} (profile {result.profile}, chapter F)."
    return Markup(tables.table(values.dropna(), caption, 1, errors).page)


def write_pages(data: Path, others: Path, folder: Path) -> None:
    """Write everything that the written pages show of the results as HTML into ``folder``, where it changed."""
    judged, protocols = all_verdicts(data, others), different_protocols(data, others)
    write_fragments(folder, {
        "claims_table": ledger_table(judged, protocols),
        "claims_picture": claims_picture(judged, protocols),
        "failed_claims": failed_claims(judged),
        "run_times": run_times(data),
        "checks_table": checks_table(data),
        "reading_costs": reading_costs(data),
        "readout_costs": readout_costs(data),
    })
