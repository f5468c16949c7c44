"""The commands that measure the tiny world: what they resume and what they cover."""

import json

import pandas as pd
import pytest

from proxyclip.rules.parsing import parse_rule
from proxyclip.tiny import models
from proxyclip.tiny.world.sets import VAL_SEED
from training.measures import study
from training.measures.score import raw_colours


def invented(job, folder, count):
    """Scores that differ from job to job."""
    name, seed = job
    rows = [(name, seed, "tiny_sam", rule.name, seed + k / 8) for k, rule in enumerate(study.rules_studied())]
    return pd.DataFrame(rows, columns=["set", "seed", "proxy", "rule", "miou"])


def test_an_interrupted_study_continues_where_it_stopped_and_starts_again_with_other_settings(tmp_path, monkeypatch):
    out, jobs = tmp_path / "study.json", [("tiny/voc", 1), ("tiny/voc", 2), ("tiny/context", 1)]
    measured, stops = [], [jobs[1]]

    def measure(job, **rest):
        if job in stops:
            stops.remove(job)
            raise KeyboardInterrupt
        measured.append(job)
        return invented(job, **rest)

    monkeypatch.setattr(study, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        study.run(out, jobs, tmp_path, 4, workers=1)
    record = study.run(out, jobs, tmp_path, 4, workers=1)
    assert measured == jobs and json.loads(out.read_text()) == record
    expected = pd.concat([invented(job, tmp_path, 4) for job in jobs], ignore_index=True)
    pd.testing.assert_frame_equal(study.frame_of(record), expected)
    study.run(out, jobs[:1], tmp_path, 5, workers=1)
    assert measured == [*jobs, jobs[0]] and len(json.loads(out.read_text())["rows"]) == 1


def test_a_study_measures_every_rule_with_every_vfm(monkeypatch):
    model, _ = study.loaded(models.WEIGHTS)
    monkeypatch.setattr(study, "loaded", lambda folder: (model, {"tiny_sam": raw_colours, "colours": raw_colours}))
    monkeypatch.setattr(study, "rules_studied", lambda: [parse_rule("adaptive"), parse_rule("hard:0.4")])
    frame = study.measure(("tiny/voc20", VAL_SEED), models.WEIGHTS, 1)
    assert frame["rule"].tolist() == ["adaptive:1.2,3", "hard:0.4"] and frame["miou"].between(0, 100).all()
    assert set(frame["proxy"]) == {"tiny_sam"}
