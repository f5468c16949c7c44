"""Boundary IoU against its definition with loops."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import ndimage

from proxyclip.evaluation.metrics import boundary_areas, boundary_band
from proxyclip.evaluation.spread import mean_iou


def naive_band(labels: np.ndarray, width: int, valid: np.ndarray) -> np.ndarray:
    band = np.zeros(labels.shape, dtype=bool)
    for i, j in np.ndindex(labels.shape):
        near = slice(max(0, i - width), i + width + 1), slice(max(0, j - width), j + width + 1)
        band[i, j] = valid[i, j] and (labels[near][valid[near]] != labels[i, j]).any()
    return band


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 14), st.integers(2, 14))
def test_boundary_iou_agrees_with_its_definition(seed, height, width):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (2, (height + 3) // 4, (width + 3) // 4))
    prediction, target = np.kron(blocks, np.ones((4, 4), dtype=int))[:, :height, :width]
    target = np.where(rng.random(target.shape) < 0.05, -1, target)
    areas = boundary_areas(prediction, target, 3, fraction=0.1, frame=False)
    d = max(1, round(0.1 * np.hypot(height, width)))
    valid = target >= 0
    assert (boundary_band(target, d, valid, frame=False) == naive_band(target, d, valid)).all()
    ious = []
    for c in range(3):
        a = naive_band(prediction, d, valid) & (prediction == c)
        b = naive_band(target, d, valid) & (target == c)
        if (a | b).any():
            ious.append((a & b).sum() / (a | b).sum())
    if ious:
        assert mean_iou(areas) == pytest.approx(100 * np.mean(ious))
    else:
        assert not areas.any()


def test_the_edge_of_an_ignored_region_is_no_boundary():
    target = np.zeros((30, 30), dtype=int)
    target[10:20, 10:20] = -1
    for prediction in (np.zeros_like(target), np.where(target < 0, 1, 0)):  # another label where the pixel is ignored
        assert not boundary_areas(prediction, target, 2, frame=False).any()


def eroded_mask_band(mask: np.ndarray, width: int) -> np.ndarray:
    """A mask without its erosion, outside the image counting as another label: the published definition."""
    return mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 14), st.integers(2, 14))
def test_with_the_frame_boundary_iou_is_that_of_masks_and_their_erosions(seed, height, width):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, (2, (height + 3) // 4, (width + 3) // 4))
    prediction, target = np.kron(blocks, np.ones((4, 4), dtype=int))[:, :height, :width]
    ious, d = [], max(1, round(0.1 * np.hypot(height, width)))
    band = boundary_band(target, d, target >= 0)
    for c in range(3):
        a, b = eroded_mask_band(prediction == c, d), eroded_mask_band(target == c, d)
        assert (band & (target == c) == b).all()
        if (a | b).any():
            ious.append((a & b).sum() / (a | b).sum())
    assert mean_iou(boundary_areas(prediction, target, 3, fraction=0.1)) == pytest.approx(100 * np.mean(ious))


def test_images_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        boundary_areas(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)
