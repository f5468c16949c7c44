"""Parts of pages that are made from results: the claims ledger, the status of the chapters, the cost of each reading.

:mod:`book.build` writes them into ``book/generated/`` before it builds the pages.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

from book.checkout import write_fragments
from proxyclip.supplement import paper
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.claims.claim import CLIP_KINDS, Claim, pivot
from proxyclip.supplement.figures import tables
from proxyclip.supplement.records import Result, Verdict, card_notes, load, load_all, table

#: The supplement's own tables and the book's own run among the sources of verdicts.
PRINTED, OWN = "the paper's own tables", "this book"
NOT_RUN_YET = "its chapter has not been run"
#: What follows the kind (qk, qq, kk) in a rule's name -> the reading of section E in words.
READINGS = {"": "full width, cosine", "dot": "full width, dot product", "each": "per head, cosine",
            "each/dot": "per head, dot product"}


def sources(data: Path, others: Path) -> dict[str, dict[str, Result]]:
    """Results by source and section: the book's own run first, then those of other runs.

    Parameters
    ----------
    data : Path
        Folder with the ``<section>.json`` of the book's own run.
    others : Path
        Folder with a folder for each other run; it may be missing.
    """
    found = {OWN: own} if (own := own_results(data)) else {}
    for name, result in load_all(others).items():
        found.setdefault(name.partition("/")[0], {})[result.section] = result
    profiles = {name: sorted({result.profile for result in parts.values()}) for name, parts in found.items()}
    return {f"{name} (profile {', '.join(profiles[name])})": parts for name, parts in found.items()}


def own_results(data: Path) -> dict[str, Result]:
    """Results of the book's own run by section."""
    return {path.stem: load(path) for path in sorted(data.glob("[A-Z].json"))}


def all_verdicts(data: Path, others: Path) -> dict[str, dict[str, Verdict]]:
    """Verdicts by source and claim, the supplement's own tables first.

    The book's own run has a verdict on every claim, "not run" where the chapter is missing. Another run has only those
    of its chapters, and is omitted where no claim can be judged on it, as on a run of speeds.
    """
    found = {PRINTED: claims.judge(paper.published())}
    for source, parts in sources(data, others).items():
        run = {verdict.claim: verdict for result in parts.values() for verdict in result.verdicts}
        if source.startswith(OWN):
            found[source] = {name: run.get(name, Verdict(name, "not run", f"In this run {NOT_RUN_YET}."))
                             for name in claims.CLAIMS}
            found |= _by_other_vfms(parts)
        elif any(verdict.status != "not run" for verdict in run.values()):
            found[source] = {name: run[name] for name in claims.CLAIMS if name in run}
    return found


def _by_other_vfms(parts: Mapping[str, Result]) -> dict[str, dict[str, Verdict]]:
    """Verdicts of the claims about one foundation model, for each model but a chapter's first."""
    found: dict[str, dict[str, Verdict]] = {}
    for section, result in parts.items():
        for vfm, verdicts in list(claims.judge_by_vfm(result.records, section).items())[1:]:
            if verdicts:
                found.setdefault(f"{OWN}, {vfm}", {}).update(verdicts)
    return found


def checks_table(data: Path) -> str:
    """Our own checks as HTML, from those chapters of the book that have run."""
    rows = [[verdict.claim, _statement(claims.CHECKS[verdict.claim]), tables.judged(verdict)]
            for result in own_results(data).values() for verdict in result.checks]
    if not rows:
        return "<p>No chapter with checks of our own has been run.</p>"
    caption = "Checks of our own, on the book's own run."
    return tables.as_html(["check", "what we ask, and the test", OWN], rows, caption=caption)


def _statement(claim: Claim) -> str:
    return f"{claim.statement}<br/><small>Test: {claim.criterion}</small>"


def different_protocols(data: Path, others: Path) -> str:
    """Sentences about sets that the sources evaluated under different protocol cards; empty where all agree."""
    found = sources(data, others)
    sections = sorted({section for parts in found.values() for section in parts})
    notes = [note for section in sections for note in card_notes(
        {name: parts[section] for name, parts in found.items() if section in parts})]
    return "".join(f" {note[0].upper()}{note[1:]}." for note in dict.fromkeys(notes))


def ledger_table(judged: Mapping[str, Mapping[str, Verdict]], protocols: str = "") -> str:
    """The claims ledger as HTML: a row for each claim, with its verdicts on the printed tables and on measured numbers.

    Each further foundation model of the book has a column of its own; verdicts of other runs appear below the book's.

    Parameters
    ----------
    judged : mapping of source to its verdicts by claim
    protocols : str
        The sentences of :func:`different_protocols`, for the caption.
    """
    own = next((name for name in judged if name.startswith(OWN)), OWN)
    columns = [own, *(name for name in judged if name.startswith(f"{OWN}, "))]
    others = [name for name in judged if name != PRINTED and name not in columns]
    rows = []
    for name, claim in claims.CLAIMS.items():
        cells = [[(judged[column][name], "")] if name in judged.get(column, {}) else [] for column in columns]
        cells[0] += [(judged[other][name], f"<small>{html.escape(other)}:</small> ") for other in others
                     if name in judged[other] and judged[other][name].status != "not run"]
        rows.append([name, _statement(claim), tables.judged_in_print(judged[PRINTED][name]), *(
            "".join(f'<div class="one-verdict">{heading}{tables.judged(verdict)}</div>' for verdict, heading in cell)
            for cell in cells)])
    caption = ("Every claim, its test, and its verdict with figures wherever there are numbers. A claim that is about "
               f"one foundation model has a verdict for each that was measured.{protocols}")
    head = ["claim", "what the supplement says, and the test", PRINTED, *columns]
    return tables.as_html(head, rows, caption=caption)


def failed_claims(judged: Mapping[str, Mapping[str, Verdict]]) -> str:
    """The claims that do not hold on the book's own run, each with its reason, as HTML."""
    items = []
    for name, claim in claims.CLAIMS.items():
        verdicts = [found[name] for source, found in judged.items() if source.startswith(OWN) and name in found]
        failed = [verdict for verdict in verdicts if verdict.status == "does not hold"]
        if failed:
            page = CHAPTERS[claim.section][1]
            models = ", ".join(verdict.vfm for verdict in failed if verdict.vfm)
            with_models = f" (with {html.escape(models)})" if models else ""
            whose = f"with {failed[0].vfm}: " if len(failed) > 1 else ""
            reason = html.escape(f"{whose}{failed[0].reason or failed[0].figures}")
            items.append(f'<li><a href="notebooks/{page}.html#verdicts"><strong>{name}</strong></a>{with_models}: '
                         f"{html.escape(claim.statement)} <strong>Why not:</strong> {reason}</li>")
    if not items:
        return "<p>No claim fails on the book's own run.</p>"
    profile = next(name for name in judged if name.startswith(OWN)).removeprefix(OWN)
    intro = f"<p>These claims do not hold on this book's own run{html.escape(profile)}:</p>"
    return f'{intro}<ul class="failed-claims">{"".join(items)}</ul>'


def run_times(data: Path) -> str:
    """A sentence on how long the chapters of this copy of the book took, as HTML."""
    found = {section: result.provenance for section, result in own_results(data).items()}
    seconds = {section: kept["seconds"] for section, kept in found.items() if "seconds" in kept}
    if not seconds:
        return "<p>The chapters of this copy have not been run.</p>"
    listed = ", ".join(f"{section} {value:.0f}" for section, value in seconds.items())
    machines = "; ".join(dict.fromkeys(str(kept.get("machine", "")).partition(", torch")[0] for kept in found.values()))
    return (f"<p>The chapters of this copy took {sum(seconds.values()) / 60:.0f} minutes one after the other, "
            f"in seconds: {listed} ({html.escape(machines)}).</p>")


#: Title of each section and the page of its chapter.
CHAPTERS = {
    "A": ("Stable Diffusion as the foundation model", "A_stable_diffusion"),
    "B": ("Hyperparameters", "B_hyperparameters"), "C": ("What it costs", "C_efficiency"),
    "D": ("Hard masking", "D_hard_masking"), "E": ("CLIP's own attention", "E_attention_variants"),
    "F": ("Large vocabularies", "F_large_vocabularies"), "G": ("What it looks like", "G_qualitative"),
}


def claims_picture(judged: Mapping[str, Mapping[str, Verdict]], protocols: str = "") -> str:
    """All claims at a glance: a row for each chapter, a column for each source, a linked mark for each claim.

    A run of the book's own profile that agrees with the book, such as that of another machine, is shown in the ledger
    only.
    """
    own_name = next((name for name in judged if name.startswith(OWN)), OWN)
    own, profile = judged.get(own_name, {}), own_name.removeprefix(OWN)
    judged = {name: found for name, found in judged.items() if not name.endswith(profile) or name == own_name or any(
        claim not in own or verdict.status != own[claim].status for claim, verdict in found.items())}
    rows = []
    for section, (title, page) in CHAPTERS.items():
        cells = []
        for found in judged.values():
            marks = []
            for name, claim in claims.CLAIMS.items():
                if claim.section == section and name in found:
                    sign, kind = tables.MARKS[found[name].status]
                    words = html.escape(f"{name} {found[name].status}: {claim.statement}")
                    marks.append(f'<a class="mark {kind}" href="notebooks/{page}.html#verdicts" title="{words}" '
                                 f'aria-label="{words}">{name}\u00a0{sign}</a>')
            cells.append(" ".join(marks))
        rows.append([f'<a href="notebooks/{page}.html">{section}. {html.escape(title)}</a>', *cells])
    tallies = [" ".join(f'<span class="mark {kind}">{sign}\u00a0{count}</span>'
                        for status, (sign, kind) in tables.MARKS.items()
                        if (count := sum(verdict.status == status for verdict in found.values())))
               for found in judged.values()]
    rows.append(["all claims", *tallies])
    caption = f"Claims by chapter: ✓ holds, ✗ does not hold, – not printed or not run.{protocols}"
    body = tables.as_html(["chapter", *judged], rows, "table claims-picture", caption)
    return f'<div style="overflow-x:auto">{body}</div>'


def reading_costs(data: Path) -> str:
    """What the readings of section E score, as HTML; a sentence where chapter E has not been run."""
    if (result := own_results(data).get("E")) is None:
        return f"<p>Not measured: {NOT_RUN_YET} (E).</p>"
    count = len({record.dataset for record in result.records})
    caption = f"Average mIoU in % of each reading over {count} sets (profile {result.profile}, chapter E)."
    frame = table(result.records)
    frame = frame[(frame["metric"] == "miou") & frame["method"].isin(CLIP_KINDS.values())]
    frame = frame.assign(reading=frame["rule"].str.partition("/")[2].map(READINGS)).dropna(subset="reading")
    values, errors = (pivot(frame, "method", "reading", part) for part in ("value", "error"))
    return tables.table(values.rename_axis(None), caption, 1, errors).to_html()


def readout_costs(data: Path) -> str:
    """What residual connection and MLP add to the baselines, as HTML; a sentence where chapter F has not been run."""
    if (result := own_results(data).get("F")) is None:
        return f"<p>Not measured: {NOT_RUN_YET} (F).</p>"
    frame = table(result.records)
    frame = frame[(frame["metric"] == "miou") & frame["setting"].isin([paper.FREE, paper.BARE])]
    words = {paper.FREE: "residual and MLP kept", paper.BARE: "attention alone"}
    frame = frame[frame["vfm"] == ""].assign(reading=frame["setting"].map(words))
    values, errors = (pivot(frame, "method", "reading", part) for part in ("value", "error"))
    names = ", ".join(sorted(set(frame["dataset"])))
    caption = f"mIoU in % on {names} (profile {result.profile}, chapter F)."
    return tables.matrix(values.dropna(), None, caption, errors=errors).to_html()


def write_pages(data: Path, others: Path, folder: Path) -> None:
    """Write everything that the written pages show of the results, as HTML, where it changed.

    Parameters
    ----------
    data, others : Path
        As for :func:`sources`.
    folder : Path
        Usually ``book/generated``.
    """
    judged, protocols = all_verdicts(data, others), different_protocols(data, others)
    box = '<div class="ledger"><div style="overflow-x:auto">{}</div></div>'
    write_fragments(folder, {
        "claims_table": box.format(ledger_table(judged, protocols)),
        "claims_picture": claims_picture(judged, protocols),
        "failed_claims": failed_claims(judged),
        "run_times": run_times(data),
        "checks_table": box.format(checks_table(data)),
        "reading_costs": reading_costs(data),
        "readout_costs": readout_costs(data),
    })
