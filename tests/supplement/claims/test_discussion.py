"""A discussion is shown where the verdicts are those that it speaks of, and withheld elsewhere."""

from typing import Any

import pytest
from IPython.display import Markdown

from proxyclip.supplement.claims import discussion
from proxyclip.supplement.records import Result, Verdict

FOUND = Result("B", "tiny", [], [Verdict("B1", "holds", "It does."), Verdict("B2", "does not hold", "It does not.")])


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    seen: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(discussion, "display",
                        lambda words, metadata: seen.append((words.data, metadata[discussion.METADATA])))
    return seen


def test_a_discussion_of_the_same_verdicts_is_shown_with_its_numbers(shown) -> None:
    discussion.discuss(FOUND, {"B1": "holds", "B2": "does not hold"}, lambda: f"At {1.234:.1f}.")
    assert shown == [("At 1.2.", {"expected": {"B1": "holds", "B2": "does not hold"}, "differs": []})]


@pytest.mark.parametrize(("expected", "words"), [
    ({"B1": "does not hold"}, lambda: "a"), ({"B3": "holds"}, lambda: "a"), ({}, lambda: {}["SAM"]),
    ({}, lambda: pytest.fail("called") if not FOUND else (_ for _ in ()).throw(AssertionError("flat"))),
], ids=["another verdict", "no verdict", "a model that the run lacks", "an assertion"])
def test_a_discussion_that_the_run_contradicts_is_withheld(shown, expected, words) -> None:
    discussion.discuss(FOUND, expected, words)
    (text, metadata), = shown
    assert "left out here" in text and len(metadata["differs"]) == 1


def test_the_answer_takes_its_place_with_the_verdicts_as_marks() -> None:
    class Place:
        def update(self, words: Markdown, metadata: dict[str, Any]) -> None:
            self.text = words.data

    place = Place()
    discussion.discuss(FOUND, {"B1": "holds"}, lambda: "So **it** is.", at=place)  # type: ignore[arg-type]
    assert "\n\nSo **it** is.\n\n" in place.text and place.text.count("<li>") == 2
