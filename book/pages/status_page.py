"""The page *Status*: on what each chapter ran, when, for how long, and what came out."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import proxyclip
from book.checkout import git
from book.pages.ledger_page import chapters, own_results
from book.pages.rendering import render, write_fragments
from proxyclip.supplement.claims.marks import MARKS
from proxyclip.supplement.records import Result


def write_page(data: Path, folder: Path, edition: str) -> None:
    """Write the generated part of the page from the book's own results in ``data``; of :func:`edition` the edition."""
    rows = [_row(result, data / f"{section}.json") for section, result in own_results(data).items()]
    versions = {name: version for row in rows for name, version in row["versions"].items() if version}
    weights = {name: digest for row in rows for name, digest in row["weights"].items()}
    missing = [section for section in chapters() if section not in {row["letter"] for row in rows}]
    write_fragments(folder, {"status": render("status", chapters=rows, versions=versions, weights=weights,
                                              edition=edition, missing=missing)})


def _row(result: Result, saved: Path) -> dict[str, Any]:
    """What the template shows of one chapter."""
    kept = result.provenance
    tally = Counter(verdict.status for verdict in [*result.verdicts, *result.checks])
    ran = kept.get("finished") or datetime.fromtimestamp(saved.stat().st_mtime, UTC).isoformat(" ", "minutes")[:16]
    machine, _, threads = str(kept.get("machine") or kept.get("device", "")).partition(", torch uses ")
    seeds = kept.get("seeds") or [seed for seed in [kept.get("seed")] if seed is not None]
    title, page = chapters().get(result.section, ("", ""))
    return {
        "letter": result.section, "title": title, "page": page, "ran": f"{ran} UTC", "seconds": kept.get("seconds"),
        "machine": machine, "threads": threads.removesuffix(" threads") or "not recorded", "profile": result.profile,
        "limit": kept.get("limit"), "seeds": seeds, "code": str(kept.get("code", ""))[:12],
        "versions": dict(kept.get("versions") or {}), "weights": dict(kept.get("weights_sha256") or {}),
        "verdicts": [(*MARKS[status], tally[status]) for status in MARKS if tally[status]],
    }


def edition(root: Path) -> str:
    """The version, and the commit of the checkout where git knows it; "changed" where files differ from it."""
    commit, changed = git(root, "rev-parse", "--short=12", "HEAD"), git(root, "status", "--porcelain", "-uno")
    of_commit = f", commit {commit}{' with changes' if changed else ''}" if commit else ""
    return f"version {proxyclip.__version__}{of_commit}"
