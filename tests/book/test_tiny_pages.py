"""The pages about the tiny world say what the measured files say."""

import json
import re
from pathlib import Path

import pytest
from jinja2 import Environment, StrictUndefined

from book.pages import tiny_numbers

PAGES = ("tiny_world", "tiny_world_appendix")


@pytest.fixture(scope="module")
def filled(repository_root: Path) -> dict[str, str]:
    """The pages with their numbers."""
    known = Environment(undefined=StrictUndefined)
    values = {"tiny": tiny_numbers.values()}
    return {name: known.from_string((repository_root / f"book/{name}.md").read_text(encoding="utf-8")).render(values)
            for name in PAGES}


def test_every_number_that_the_pages_insert_was_measured(filled: dict[str, str]) -> None:
    for page in filled.values():
        assert "{{" not in page and not re.search(r"\bnan\b|\|\s*None\b", page)
    assert len(re.findall(r"^\| ---", filled["tiny_world_appendix"], re.MULTILINE)) >= 8, "tables"


def test_what_the_pages_say_of_oracle_controls_and_pooling_is_so() -> None:
    values = tiny_numbers.values()
    mean = {name: float(value) for name, value in values["mean"].items()}
    assert mean["oracle"] == max(mean.values()) < 100, "its errors are CLIP's, and the best there is"
    assert max(mean["colours"], mean["untrained"]) < mean["oracle"]
    assert float(values["pooled"]) > 0


def test_scores_of_other_weights_are_not_put_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps({"weights": {"tiny_sam": "0" * 64}}))
    with pytest.raises(ValueError, match="other weights of tiny_sam; run python -m training.measures.score again"):
        tiny_numbers.measurements(tmp_path)
