"""Areas of every class in every image: the mIoU, per set or per image, and its standard error."""

from __future__ import annotations

import numpy as np

#: Resamplings of the images behind a standard error.
RESAMPLINGS = 400


def areas_of(prediction: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of each class in one image: hits, predicted, in the ground truth.

    Parameters
    ----------
    prediction : (H, W) int
    truth : (H, W) int
        -1 is not counted; ``classes`` is of no class and counted.

    Returns
    -------
    (3, classes) int64
    """
    kept = truth >= 0
    prediction, truth = prediction[kept], truth[kept]
    parts = prediction[prediction == truth], prediction, truth[truth < classes]
    return np.stack([np.bincount(part, minlength=classes) for part in parts])


def miou(areas: np.ndarray) -> np.ndarray:
    """Mean intersection over union in per cent, (..., 3, classes) -> (...); classes without a pixel are left out."""
    hits, predicted, truth = np.moveaxis(areas.astype(np.float64), -2, 0)
    union = predicted + truth - hits
    present = union > 0
    ratio = np.divide(hits, union, out=np.zeros_like(hits), where=present)
    return 100 * ratio.sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


def score(areas: np.ndarray, per_image: bool) -> float:
    """mIoU of a set, from the areas (images, 3, classes) of its images."""
    return float(miou(areas).mean() if per_image else miou(areas.sum(axis=0)))


def resampled(areas: np.ndarray, per_image: bool, seed: int = 0) -> np.ndarray:
    """:func:`score` of sets drawn from the images with replacement, (:data:`RESAMPLINGS`,).

    The same seed draws the same images, so that the difference of two configurations can be taken draw by draw.
    """
    count = len(areas)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLINGS)
    if per_image:
        return draws @ miou(areas) / count
    total = draws @ areas.reshape(count, -1)
    return miou(total.reshape(RESAMPLINGS, *areas.shape[1:]))
