"""The geometry of patch similarities that a training prints and a card states."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from proxyclip.tiny import models
from training.selection import geometry_of, validation_geometry, validation_windows


def test_the_geometry_is_that_of_loops():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((2, 12, 5)) + np.array([0.7, 0, 0, 0, 0])
    owner = rng.integers(-1, 3, (2, 12))
    found = geometry_of(torch.from_numpy(features), torch.from_numpy(owner))
    kept, alone, right, auc, means, every, same, other = ([] for _ in range(8))
    for f, o in zip(features, owner, strict=True):
        f = f / np.linalg.norm(f, axis=1, keepdims=True)
        s = f @ f.T
        means.append(s.mean())
        pairs: dict[bool, list[float]] = {True: [], False: []}
        for i in range(12):
            survive = [j for j in range(12) if s[i, j] >= 1.2 * s.mean()]
            kept.append(len(survive) / 12)
            alone.append(survive == [i])
            every += [s[i, j] for j in range(12) if j != i]
            known = {j: math.exp(3 * s[i, j]) for j in survive if o[j] >= 0}
            if o[i] >= 0:
                right.append(sum(w for j, w in known.items() if o[j] == o[i]) / sum(known.values()))
                for j in range(12):
                    if j != i and o[j] >= 0:
                        pairs[bool(o[i] == o[j])].append(s[i, j])
        auc.append(mannwhitneyu(pairs[True], pairs[False]).statistic / len(pairs[True]) / len(pairs[False]))
        same, other = same + pairs[True], other + pairs[False]
    expected = {"mean": means, "kept": kept, "alone": alone, "right": right, "auc": auc}
    for key, values in expected.items():
        assert found[key] == pytest.approx(np.mean(values), abs=2e-3), key
    assert found["quantiles"] == pytest.approx(np.quantile(every, [0.05, 0.25, 0.5, 0.75, 0.95]), abs=1e-4)
    assert found["below"] == pytest.approx([np.mean(np.array(every) < t) for t in (0, 0.2, 0.4, 0.6, 0.8)], abs=1e-4)
    for key, values in (("same", same), ("other", other)):
        assert found[key] == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]), abs=1e-4)


def test_validation_windows_show_every_set():
    pixels, owners = validation_windows(1)
    assert pixels.shape == (8, 3, 64, 64) and owners.shape == (8, 64, 64)
    assert 0 <= pixels.min() and pixels.max() <= 1 and len({window.numpy().tobytes() for window in pixels}) == 8


def test_the_features_of_the_shipped_sam_tell_the_regions_of_validation_windows_apart():
    model = models.load("tiny_sam")
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    # 64 windows, as while training
    found = validation_geometry(lambda pixels: model.forward_features((pixels - mean) / std), scenes=8)
    assert found["auc"] > 0.95 and found["right"] > 0.9  # it learned from masks
