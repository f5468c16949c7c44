"""Why claims do not hold: every verdict that fails gives a reason with figures of its own records."""

import re
from pathlib import Path

import pytest

from proxyclip.supplement import records as results
from proxyclip.supplement.claims.claim import DEFAULT
from proxyclip.supplement.claims.ledger import CHECKS, CLAIMS, check, judge, judge_by_vfm
from proxyclip.supplement.claims.reasons import NOVELTY
from proxyclip.supplement.measures.combinations import SUPERVISED
from proxyclip.supplement.paper import FREE, FULL
from proxyclip.supplement.records import Record

WITHOUT_REASON = {"A1", "C1"}
BASELINES = sorted((Path(__file__).resolve().parents[2] / "baselines").glob("*.json"))


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.name[0])
def test_every_verdict_that_fails_on_the_stored_records_has_a_reason_with_figures(path):
    section, records = path.name[0], results.load(path).records
    verdicts = [*judge(records, section).values(), *check(records, section).values(),
                *(one for of_vfm in judge_by_vfm(records, section).values() for one in of_vfm.values())]
    silent = {verdict.claim for verdict in verdicts
              if verdict.status == "does not hold" and not re.search(r"\d", verdict.reason)}
    assert silent <= WITHOUT_REASON  # C1 counts times, which stored records leave out


def test_only_counts_of_shape_and_cost_have_no_reason_of_their_own():
    without = {name for name, claim in (CLAIMS | CHECKS).items() if claim.reason is None and claim.section in "ABCDEFG"}
    assert without == WITHOUT_REASON


def along_gamma(values: dict[float, float]) -> list[Record]:
    return [Record("B", "tiny", "miou", value, "%", "tiny/voc", "tiny_dino", f"adaptive:1.2,{gamma:g}", n=8)
            for gamma, value in values.items()]


def test_a_narrow_range_of_gamma_is_explained_by_the_scores_along_it():
    records = [*along_gamma({2.0: 40.0, 3.0: 50.0, 5.0: 60.0}),
               Record("B", "tiny", "miou", 30.0, "%", "tiny/voc", "tiny_dino", "identity", n=8)]
    verdict = judge(records, "B")["B2"]
    assert verdict.status == "does not hold"
    assert "mIoU is highest at gamma 5 on tiny/voc" in verdict.reason
    assert "40.0 at gamma 2 and 60.0 at gamma 5" in verdict.reason
    turned = judge([*along_gamma({5.0: 60.0, 2.0: 40.0, 3.0: 50.0}), records[-1]], "B")["B2"]
    assert turned.reason == verdict.reason, "the order in which gammas were given does not matter"


@pytest.mark.parametrize(("measured", "claim"), [("small_recall", "G2"), ("miou", "G3"), ("boundary_iou", "G1")])
def test_a_map_is_compared_with_the_one_that_no_averaging_made(measured, claim):
    records = [Record("G", "tiny", metric, value, "%", name, vfm, rule, n=8)
               for name in ("tiny/voc", "tiny/street") for metric in {measured, "miou"}
               for value, vfm, rule in ((40.0, "tiny_dino", DEFAULT), (50.0, "tiny_dino", "identity"),
                                        (60.0, "", "qq"))]
    verdict = judge(records, "G")[claim]
    assert verdict.status == "does not hold"
    assert "averaging costs 10.0 points on tiny/voc, where each patch's own value has 50.0 and 10.0" in verdict.reason


def supervised(proxy: float, reference: float) -> list[Record]:
    found = []
    for name in ("tiny/longtail", "tiny/medley"):
        found += [Record("F", "tiny", "miou", proxy, "%", name, "tiny_dino", DEFAULT, setting=FREE, n=8),
                  Record("F", "tiny", "miou", 5.0, "%", name, rule="sclip", setting=FREE, n=8),
                  Record("F", "tiny", "miou", reference, "%", name, method=SUPERVISED, setting=FULL, n=8)]
        found += [Record("F", "tiny", "absent_classes", 7, "", name, "tiny_dino", DEFAULT, n=8),
                  Record("F", "tiny", "absent_classes", 30, "", name, method=SUPERVISED, setting=FULL, n=8)]
        found += [Record("F", "tiny", "miou", value, "%", name, method=SUPERVISED, setting=group, n=8)
                  for group, value in zip(NOVELTY, (80.0, 12.0, 11.0), strict=True)]
    return found


def test_a_supervised_reference_judges_the_sentences_about_supervised_methods():
    ahead = judge(supervised(30.0, 20.0), "F")
    assert [ahead[name].status for name in ("F2", "F3", "F4")] == ["holds", "holds", "does not hold"]
    assert "on tiny/longtail, which stands for ADE847, it has 30.0 mIoU, the one" in ahead["F2"].figures
    assert "80.0 on textures, 12.0 on combinations that were captioned" in ahead["F4"].reason
    assert "a set has 30 with the supervised segmenter and 7 with ProxyCLIP" in ahead["F4"].reason
    behind = judge(supervised(20.0, 30.0), "F")
    assert [behind[name].status for name in ("F2", "F3", "F4")] == ["does not hold", "does not hold", "holds"]
