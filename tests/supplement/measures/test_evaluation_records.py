"""An evaluation becomes records: of each rule, under the foundation model that it read, without and with PAMR."""

from functools import partial

import numpy as np
from small_model import small_model

import proxyclip as pc
from proxyclip.evaluation.evaluator import run
from proxyclip.supplement.measures.evaluation_records import from_evaluation
from proxyclip.supplement.records import Record


def test_rules_that_read_clip_alone_name_no_vfm() -> None:
    found = run(small_model(), pc.dataset("tiny/voc20", length=1), ["adaptive", "qq", "vanilla"])
    records = from_evaluation(found, partial(Record, "E", "tiny", dataset="tiny/voc20", seed=0), "tiny_sam")
    kept = [record for record in records if record.metric == "miou"]
    assert [record.vfm for record in kept] == ["tiny_sam", "", ""]
    assert [record.method for record in kept] == ["ProxyCLIP", "q-q", "CLIP"]


def test_an_evaluation_with_refined_masks_becomes_records_with_and_without_a_refinement():
    found = run(small_model(), pc.dataset("tiny/voc20", length=2), ["adaptive", "qq"], refine=pc.PAMR(1, (1,)))
    records = from_evaluation(found, partial(Record, "H", "tiny", dataset="tiny/voc20"), "small")
    kept = [one for one in records if one.metric == "miou"]
    name = pc.PAMR(1, (1,)).name
    assert [(one.rule, one.vfm, one.refinement) for one in kept] == [
        ("adaptive:1.2,3", "small", ""), ("qq", "", ""), ("adaptive:1.2,3", "small", name), ("qq", "", name)]
    np.testing.assert_array_equal([one.value for one in kept], found.frame()["miou"])
