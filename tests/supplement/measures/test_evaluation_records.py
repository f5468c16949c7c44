"""An evaluation becomes records: of each rule, under the foundation model that it read, without and with PAMR."""

from functools import partial

import numpy as np
from small_model import small_model

import proxyclip as pc
from proxyclip.evaluation.evaluator import run
from proxyclip.supplement.measures.evaluation_records import from_evaluation
from proxyclip.supplement.records import Record


def test_an_evaluation_becomes_records_of_every_rule_and_refinement_and_clips_own_rules_name_no_vfm() -> None:
    refine = pc.PAMR(1, (1,))
    found = run(small_model(), pc.dataset("tiny/voc20", length=2), ["adaptive", "qq", "vanilla"], refine=refine)
    records = from_evaluation(found, partial(Record, "H", "tiny", dataset="tiny/voc20", seed=0), "tiny_sam")
    kept = [one for one in records if one.metric == "miou"]
    rows = [("adaptive:1.2,3", "tiny_sam", "ProxyCLIP"), ("qq", "", "q-q"), ("vanilla", "", "CLIP")]
    assert [(one.rule, one.vfm, one.method, one.refinement) for one in kept] == [
        (*row, refinement) for refinement in ("", refine.name) for row in rows]
    np.testing.assert_array_equal([one.value for one in kept], found.frame()["miou"])
