"""Paragraphs about the shipped run, shown where the verdicts that they speak of are the run's own."""

import html
from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import DisplayHandle, Markdown, display

from proxyclip.supplement.claims.ledger import judge_by_vfm
from proxyclip.supplement.claims.marks import badge
from proxyclip.supplement.records import Result, Status

#: Key of what a discussion expects, and of why it is withheld, in the metadata of its output.
METADATA = "proxyclip"


def answer_place() -> DisplayHandle:
    """Reserve the place of the chapter's answer, which its last cells fill (:func:`discuss` with ``at``)."""
    waiting = Markdown("*The answer is shown here as soon as the last cells of this chapter have run.*")
    return display(waiting, display_id=True)


def discuss(
    result: Result, expected: Mapping[str, str], words: Callable[[], str], at: DisplayHandle | None = None
) -> None:
    """Show a paragraph that was written about the shipped run, if this run's verdicts are the same.

    Where the verdicts differ from the ``expected`` ones (``{"B1": "holds"}``, or ``{"B1 tiny_sam": "does not hold"}``
    for that with one foundation model), a sentence says that the discussion is about the shipped run. So it does where
    ``words``, which returns the paragraph as Markdown, fails: it may assert what else it says, or lack a model or a
    set. The metadata of the output hold what was expected and what differs, so that a test fails when a sentence of the
    shipped run and a verdict disagree. It is shown below the cell, or ``at`` another place (:func:`answer_place`) with
    the verdicts as marks.
    """
    found: dict[str, Status] = {verdict.claim: verdict.status for verdict in [*result.verdicts, *result.checks]}
    marks = "".join(f"<li><strong>{html.escape(name)}</strong> {badge(status)}</li>" for name, status in found.items())
    for vfm, verdicts in judge_by_vfm(result.records, result.section).items():
        found |= {f"{claim} {vfm}": verdict.status for claim, verdict in verdicts.items()}
    differs = [f"{claim} {found.get(claim, 'was not judged')}" for claim, status in expected.items()
               if found.get(claim) != status]
    paragraph = ""
    if not differs:
        try:
            paragraph = words()
        except (LookupError, AssertionError, ValueError) as error:
            differs = [f"{type(error).__name__}: {error}"]
    if differs:
        paragraph = ("*A discussion of the run that the book ships is left out here, since this run has other models, "
                     "sets or verdicts; its own are in the tables.*")
    content: dict[str, Any] = {METADATA: {"expected": dict(expected), "differs": differs}}
    if at is None:
        display(Markdown(paragraph), metadata=content)
    else:
        marks = f'<ul class="marks" aria-label="verdicts">{marks}</ul>'
        at.update(Markdown(f'<div class="answer">\n\n{paragraph}\n\n{marks}\n\n</div>'), metadata=content)
