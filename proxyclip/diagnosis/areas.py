"""Areas of every class in every image: the mIoU, per set or per image, and its standard error."""

from __future__ import annotations

import numpy as np

from proxyclip.evaluation.spread import RESAMPLES, bootstrap, mean_iou


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


def score(areas: np.ndarray, per_image: bool) -> float:
    """mIoU of a set, from the areas (images, 3, classes) of its images."""
    return float(mean_iou(areas).mean() if per_image else mean_iou(areas.sum(axis=0)))


def resampled(areas: np.ndarray, per_image: bool, seed: int = 0) -> np.ndarray:
    """:func:`score` of sets drawn from the images with replacement, (RESAMPLES,).

    The same seed draws the same images, so that the difference of two configurations can be taken draw by draw.
    """
    if not per_image:
        return bootstrap(areas[:, None], seed)[:, 0]
    count = len(areas)
    draws = np.random.Generator(np.random.PCG64(seed)).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return draws @ mean_iou(areas) / count
