"""The geometry of patch similarities by which weights are kept."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from proxyclip.tiny import models
from training.selection import best_of, geometry_of, merit, validation_geometry, validation_windows


def test_the_geometry_is_that_of_the_paper_s_rule_in_loops():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((2, 12, 5)) + np.array([0.7, 0, 0, 0, 0])
    owner = rng.integers(-1, 3, (2, 12))
    found = geometry_of(torch.from_numpy(features), torch.from_numpy(owner))
    kept, alone, right, auc, means = [], [], [], [], []
    for f, o in zip(features, owner, strict=True):
        f = f / np.linalg.norm(f, axis=1, keepdims=True)
        s = f @ f.T
        means.append(s.mean())
        pairs: dict[bool, list[float]] = {True: [], False: []}
        for i in range(12):
            survive = [j for j in range(12) if s[i, j] >= 1.2 * s.mean()]
            kept.append(len(survive) / 12)
            alone.append(survive == [i])
            known = {j: math.exp(3 * s[i, j]) for j in survive if o[j] >= 0}
            if o[i] >= 0:
                right.append(sum(w for j, w in known.items() if o[j] == o[i]) / sum(known.values()))
                for j in range(12):
                    if j != i and o[j] >= 0:
                        pairs[bool(o[i] == o[j])].append(s[i, j])
        auc.append(mannwhitneyu(pairs[True], pairs[False]).statistic / len(pairs[True]) / len(pairs[False]))
    expected = {"mean": means, "kept": kept, "alone": alone, "right": right, "auc": auc}
    for key, values in expected.items():
        assert found[key] == pytest.approx(np.mean(values), abs=2e-3), key


def test_features_with_which_the_rule_works_precede_others_of_better_discrimination():
    proxy = {"mean": 0.3, "kept": 0.4, "alone": 0.0, "auc": 0.7}
    assert merit(proxy) > merit({**proxy, "alone": 0.02, "auc": 0.99})
    assert merit(proxy) > merit({**proxy, "mean": 0.8, "auc": 0.99})
    assert merit(proxy) < merit({**proxy, "auc": 0.71})


def test_of_equally_good_geometries_the_last_is_kept():
    rows = [{"mean": 0.3, "kept": 0.4, "alone": 0.0, "auc": auc} for auc in (0.7, 0.901, 0.899, 0.8)]
    assert best_of(rows) is rows[2] and best_of([]) is None


def test_validation_windows_show_every_set():
    pixels, owners = validation_windows(1)
    assert pixels.shape == (8, 3, 64, 64) and owners.shape == (8, 64, 64)
    assert 0 <= pixels.min() and pixels.max() <= 1 and len({window.numpy().tobytes() for window in pixels}) == 8


def test_the_features_of_the_shipped_sam_tell_the_regions_of_validation_windows_apart():
    model = models.load("tiny_sam")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = validation_geometry(lambda pixels: model.forward_features((pixels - mean) / std), scenes=1)
    assert found["auc"] > 0.95 and found["right"] > 0.9  # it learned from masks
