"""The words of the chapters agree with the verdicts of the run that the book ships."""

from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from book.checkout import Layout
from proxyclip.supplement.claims.discussion import METADATA
from proxyclip.supplement.result_files import load

pytestmark = pytest.mark.book


def discussions(layout: Layout, stem: str) -> Iterator[dict[str, Any]]:
    for cell in nbformat.read(layout.executed / f"{stem}.ipynb", 4).cells:
        for output in cell.get("outputs", []):
            if METADATA in output.get("metadata", {}):
                yield output["metadata"][METADATA]


def test_no_discussion_contradicts_the_shipped_run(layout: Layout) -> None:
    withheld = {notebook.stem: found["differs"] for notebook in layout.chapters()
                for found in discussions(layout, notebook.stem) if found["differs"]}
    assert not withheld


def test_every_claim_that_fails_is_discussed(layout: Layout) -> None:
    silent = []
    for notebook in layout.chapters():
        if not (shown := list(discussions(layout, notebook.stem))):
            continue
        said = {claim for found in shown for claim, status in found["expected"].items() if status == "does not hold"}
        failed = {verdict.claim for verdict in load(layout.records / f"{notebook.stem[0]}.json").verdicts
                  if verdict.status == "does not hold"}
        silent += sorted(failed - said)
    assert not silent
