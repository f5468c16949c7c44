"""Chapter H's paired differences and its checks, on evaluations and records made for the purpose."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import proxyclip as pc
from proxyclip.evaluation.spread import RESAMPLES
from proxyclip.supplement.chapters.jobs import rules_of
from proxyclip.supplement.claims.ledger import check
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.records import Record

#: Paired differences to ClearCLIP and NACLIP, without PAMR and with it, and what PAMR brings.
AHEAD = {("", "clearclip"): 10.0, ("", "naclip"): 6.0,
         ("pamr", "clearclip + pamr"): 11.0, ("pamr", "naclip + pamr"): 3.0}
GAINS = {"clearclip": 2.0, "naclip": -0.5, "adaptive:1.2,3": 3.0}


def records(ahead: dict[tuple[str, str], float] = AHEAD, error: float = 0.5) -> list[Record]:
    """The same on two sets, so that the error of a mean is smaller by the root of two."""
    wanted = [("adaptive:1.2,3", refinement, over, value) for (refinement, over), value in ahead.items()]
    wanted += [(rule, "pamr", rule, value) for rule, value in GAINS.items()]
    return [Record("H", "tiny", "miou_difference", value, "%", dataset, "tiny_dino" if "adaptive" in rule else "", rule,
                   refinement=refinement, over=over, n=4, seed=0, error=error)
            for dataset in ("tiny/voc", "tiny/street") for rule, refinement, over, value in wanted]


def test_the_checks_ask_who_is_ahead_and_whether_every_method_gains():
    found = check(records(), "H")
    assert [found[name].status for name in ("H1", "H2", "H3")] == ["holds", "holds", "does not hold"]
    assert "10.0 ± 0.4 over ClearCLIP" in found["H1"].figures and "-0.5 ± 0.4 for NACLIP" in found["H3"].figures
    behind = check(records({**AHEAD, ("", "naclip"): -2.0, ("pamr", "clearclip + pamr"): -7.0}), "H")
    assert [behind[name].status for name in ("H1", "H2")] == ["does not hold"] * 2
    within = check(records({**AHEAD, ("", "naclip"): 0.3}), "H")
    assert within["H1"].status == "does not hold", "0.3 points are less than the error of the difference"
    assert {verdict.status for verdict in check([], "H").values()} == {"not run"}


def test_every_difference_of_the_chapter_is_the_one_that_compare_gives(tmp_path: Path):
    run = Experiment("H", profile="tiny", limit=3, seeds=2, datasets=["tiny/voc"], output_dir=str(tmp_path),
                     vfm=["tiny_dino", "tiny_dino8"])
    found = run.measure(["clearclip", "adaptive"])
    frame = run.paired(found, [("clearclip", "adaptive"), ("gem", "adaptive")])
    assert frame["method"].tolist() == ["ProxyCLIP (tiny_dino)", "ProxyCLIP (tiny_dino8)"] * 2
    assert set(frame["over"]) == {"ClearCLIP"} and (frame["error"] < frame["unpaired"]).any()
    first = [found["tiny/voc", "tiny_dino", seed] for seed in run.seeds]
    compared = [pc.compare((one, "clearclip"), (one, "adaptive"), resamples=RESAMPLES)[0] for one in first]
    own = frame[frame["vfm"] == "tiny_dino"]
    np.testing.assert_allclose(own["difference"], [one.difference for one in compared], rtol=0, atol=1e-12)
    np.testing.assert_allclose(own["error"], [one.error for one in compared], rtol=0, atol=1e-12)
    kept = [record for record in run.records if record.metric == "miou_difference"]
    assert [(record.value, record.error, record.over) for record in kept] == [
        (row.difference, row.error, "clearclip") for row in frame.itertuples()]
    assert run.paired(found, [("clearclip", "adaptive")]).equals(frame), "the cell can be run again"


@pytest.mark.parametrize(("blocks", "read"), [(12, 6), (5, 3), (24, 12)])
def test_gem_rereads_the_share_of_blocks_that_its_package_rereads(blocks, read):
    visual = SimpleNamespace(transformer=SimpleNamespace(resblocks=[None] * blocks))
    assert pc.GEM(depth=read) in rules_of("H", {}, SimpleNamespace(model=SimpleNamespace(visual=visual)))
