"""What moves numbers has its line in the changelog."""

from pathlib import Path

import pytest

from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.evaluation.result import METHOD_VERSION

CHANGES = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_present_version_of_the_method_has_a_line():
    assert f"Method version {METHOD_VERSION}." in CHANGES


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_raised_card_has_a_line(name):
    version = BENCHMARKS[name].version
    assert version == 1 or f"Card `{name}@{version}`" in CHANGES
