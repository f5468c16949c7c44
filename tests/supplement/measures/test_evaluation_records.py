"""An evaluation becomes records: of each rule, under the foundation model that it read, without and with PAMR."""

import numpy as np
import pandas as pd
from small_model import small_model

import proxyclip as pc
from proxyclip.evaluation.evaluator import run
from proxyclip.supplement.measures.evaluation_records import from_evaluation


def test_rules_that_read_clip_alone_name_no_vfm() -> None:
    frame = pd.DataFrame({"rule": ["adaptive:1.2,3", "qq", "vanilla"], "miou": [3.0, 2.0, 1.0], "images": 8})
    records = from_evaluation(frame, "E", "tiny", "tiny/voc", "tiny_sam", seed=0)
    assert [record.vfm for record in records] == ["tiny_sam", "", ""]
    assert [record.method for record in records] == ["ProxyCLIP", "q-q", "CLIP"]


def test_an_evaluation_with_refined_masks_becomes_records_with_and_without_a_refinement():
    found = run(small_model(), pc.dataset("tiny/voc20", length=2), ["adaptive", "qq"], refine=pc.PAMR(1, (1,)))
    frame = found.frame()
    kept = [one for one in from_evaluation(frame, "H", "tiny", "tiny/voc20", "small") if one.metric == "miou"]
    name = pc.PAMR(1, (1,)).name
    assert [(one.rule, one.vfm, one.refinement) for one in kept] == [
        ("adaptive:1.2,3", "small", ""), ("qq", "", ""), ("adaptive:1.2,3", "small", name), ("qq", "", name)]
    np.testing.assert_array_equal([one.value for one in kept], frame["miou"])
