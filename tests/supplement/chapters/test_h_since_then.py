"""The checks of chapter H, on records made for the purpose."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import proxyclip as pc
from proxyclip.supplement.claims.ledger import check
from proxyclip.supplement.jobs import rules_of
from proxyclip.supplement.records import Record

SCORES = {"clearclip": (40.0, 42.0), "naclip": (44.0, 43.0), "adaptive:1.2,3": (50.0, 53.0)}


def records(scores: dict[str, tuple[float, float]] = SCORES, error: float = 0.5) -> list[Record]:
    """The second set is 10 points higher, and PAMR brings one point more there."""
    return [Record("H", "tiny", "miou", value + 10 * second + second * bool(refinement), "%", dataset,
                   "tiny_dino" if rule.startswith("adaptive") else "", rule, refinement=refinement, n=4,
                   seed=0, error=error)
            for second, dataset in enumerate(("tiny/voc", "tiny/street"))
            for rule, pair in scores.items() for refinement, value in zip(("", "pamr"), pair, strict=True)]


def test_the_checks_ask_who_is_ahead_and_whether_every_method_gains():
    found = check(records(), "H")
    assert [found[name].status for name in ("H1", "H2", "H3")] == ["holds", "holds", "does not hold"]
    assert "55.0" in found["H1"].figures and "-0.5 for NACLIP" in found["H3"].figures
    ahead = check(records({**SCORES, "clearclip": (52.0, 60.0)}), "H")
    assert [ahead[name].status for name in ("H1", "H2")] == ["does not hold"] * 2
    within = check(records({**SCORES, "naclip": (49.9, 43.0)}), "H")
    assert within["H1"].status == "does not hold", "0.1 points are less than the error of the difference"
    assert {verdict.status for verdict in check([], "H").values()} == {"not run"}


@pytest.mark.parametrize(("blocks", "read"), [(12, 6), (5, 3), (24, 12)])
def test_gem_rereads_the_share_of_blocks_that_its_package_rereads(blocks, read):
    visual = SimpleNamespace(transformer=SimpleNamespace(resblocks=[None] * blocks))
    model = SimpleNamespace(clip=SimpleNamespace(model=SimpleNamespace(visual=visual)))
    assert pc.GEM(depth=read) in rules_of(SimpleNamespace(section="H", model=lambda: model))
