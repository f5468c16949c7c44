"""Boundary IoU against its published definition: what an erosion takes from the mask of each class."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import ndimage

from proxyclip.evaluation.metrics import boundary_areas, boundary_band
from proxyclip.evaluation.spread import mean_iou


def eroded_band(mask: np.ndarray, valid: np.ndarray, width: int, frame: bool) -> np.ndarray:
    """A mask without its erosion, in which ignored pixels belong to it, and outside the image only without a frame."""
    eroded = ndimage.binary_erosion(mask | ~valid, np.ones((3, 3)), iterations=width, border_value=not frame)
    return mask & valid & ~eroded


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(2, 14), st.integers(2, 14), st.booleans())
def test_boundary_iou_is_that_of_masks_and_their_erosions(seed, height, width, frame):
    """With single pixels and whole regions that are ignored."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (2, (height + 3) // 4, (width + 3) // 4))
    prediction, target = np.kron(blocks, np.ones((4, 4), dtype=int))[:, :height, :width]
    target = np.where((rng.random(target.shape) < 0.05) | (target == 3), -1, target)
    valid, d = target >= 0, max(1, round(0.1 * np.hypot(height, width)))
    band, ious = boundary_band(target, d, valid, frame), []
    for c in range(4):
        a, b = (eroded_band(labels == c, valid, d, frame) for labels in (prediction, target))
        assert (band & (target == c) == b).all()
        if (a | b).any():
            ious.append((a & b).sum() / (a | b).sum())
    areas = boundary_areas(prediction, target, 4, fraction=0.1, frame=frame)
    assert not areas.any() if not ious else mean_iou(areas) == pytest.approx(100 * np.mean(ious))


def test_images_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        boundary_areas(np.zeros((2, 3), int), np.zeros((3, 2), int), 2)
