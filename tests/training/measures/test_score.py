"""Scores of the tiny models: controls, oracle, average precision."""

import json

import numpy as np
import torch

from proxyclip.evaluation.metrics import Confusion
from proxyclip.tiny import models
from proxyclip.tiny.world.classes import CLASSES, STUFF, held_out
from proxyclip.tiny.world.sets import COMBINATIONS, LONGTAIL, render
from training.measures import score


def test_oracle_features_are_alike_exactly_within_a_region():
    instances = torch.zeros(1, 64, 64)
    instances[:, :, 32:] = 2
    features = score.oracle(torch.zeros(1, 3, 64, 64), instances).flatten(2)[0].T
    similarity = features @ features.T
    right = torch.arange(256) % 16 >= 8
    assert torch.equal(similarity.bool(), right[:, None] == right[None])


def test_a_class_is_scored_only_where_it_is_clearly_visible_or_absent():
    scene = render("tiny/context", 31, 0)
    labels = score.present(scene, 0, 0)
    window = scene.instances[:64, :64]
    names = {scene.items[k].name for k in np.unique(window)}
    for c, name in enumerate(CLASSES):
        assert (labels[c] == 0) == (name not in names)


def test_the_long_tail_is_split_by_what_captions_named():
    confusion = Confusion(len(LONGTAIL))
    for k, combination in enumerate(COMBINATIONS):
        row = len(STUFF) + k
        confusion.counts[row, row if held_out(*combination) else 0] = 10
    groups = score.by_caption(confusion)
    assert groups["captioned"] == 0 and groups["held_out"] == 100


def test_scores_of_seeds_are_written_with_the_weights_they_belong_to(tmp_path, monkeypatch):
    monkeypatch.setattr(score, "PRECISION_SCENES", 1)
    kept = {"tiny_sam": score.raw_colours, "oracle": score.oracle}
    monkeypatch.setattr(score, "proxies", lambda folder: kept)
    score.loaded.cache_clear()
    score.main(seeds=[5, 6], sets=["tiny/longtail"], count=1, workers=1, out=tmp_path / "scores.json")
    score.loaded.cache_clear()
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["seeds"] == [5, 6] and record["scenes"] == 1 and record["weights"] == models.digests()
    assert set(record["longtail"]) == {"captioned", "held_out"}
    assert len(record["miou"]) == 2 * (len(score.BASELINES) + 2 * 2)  # two proxies, adaptive and identity


def test_cards_contain_the_scores_beside_identity(tmp_path):
    (tmp_path / "tiny_dino.json").write_text(json.dumps({"name": "tiny_dino"}))
    rows = [{"set": name, "seed": seed, "proxy": proxy, "rule": rule, "miou": miou + seed}
            for name, miou in (("tiny/voc", 40.0), ("tiny/context", 60.0)) for seed in (1, 3)
            for proxy, rule in (("tiny_dino", "adaptive:1.2,3"), ("tiny_dino", "identity"), ("", "qk"))]
    score.into_cards({"miou": rows, "seeds": [1, 3], "scenes": 4}, tmp_path)
    card = json.loads((tmp_path / "tiny_dino.json").read_text())
    assert card["name"] == "tiny_dino" and card["scores"]["seeds"] == [1, 3]
    assert card["scores"]["miou"]["identity"] == {"tiny/voc": 42.0, "tiny/context": 62.0, "mean": 52.0}
