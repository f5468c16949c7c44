"""The spread of a score over images, against loops over drawn images and against formulas."""

import numpy as np
import pytest

from proxyclip.evaluation import spread
from proxyclip.evaluation.spread import bootstrap, mean_iou, standard_errors


def test_the_bootstrap_draws_images_with_replacement_and_the_same_ones_for_every_rule(monkeypatch):
    monkeypatch.setattr(spread, "RESAMPLES", 5)
    rng = np.random.default_rng(0)
    hits = rng.integers(0, 5, (6, 2, 4))
    table = np.stack([hits, hits + rng.integers(0, 3, hits.shape), hits + rng.integers(0, 3, hits.shape)], axis=2)
    draws = np.random.Generator(np.random.PCG64(0)).multinomial(6, np.full(6, 1 / 6), 5)
    for found, draw in zip(bootstrap(table), draws, strict=True):
        images = np.repeat(table, draw, axis=0)
        assert len(images) == 6 and found == pytest.approx(mean_iou(images.sum(axis=0)))
    assert standard_errors(table) == pytest.approx(np.std(bootstrap(table), axis=0, ddof=1))
    assert np.isfinite(standard_errors(table[:2])).all()


def test_the_standard_error_is_that_of_a_mean_where_the_score_is_one():
    rng = np.random.default_rng(1)
    shares = rng.uniform(0.2, 0.9, 60)  # one class, images of one size, nothing predicted wrongly elsewhere
    table = np.stack([1000 * shares, np.full(60, 1000), 1000 * shares], axis=1).round().astype(int)[:, None, :, None]
    assert standard_errors(table)[0] == pytest.approx(100 * shares.std(ddof=1) / np.sqrt(60), rel=0.15)


def test_one_image_has_no_standard_error():
    np.testing.assert_array_equal(standard_errors(np.ones((1, 2, 3, 4), int)), [np.nan] * 2)


def test_a_class_of_a_single_pixel_counts_as_any_other():
    assert mean_iou(np.array([[0, 1, 0], [1, 1, 0], [0, 1, 0]])) == 50
