"""Boundary IoU: how well the outlines of a segmentation fit, apart from its areas.

The mean IoU hardly notices a ragged outline, since most pixels lie inside regions. Boundary IoU (Cheng et al. 2021)
compares only the pixels of each mask that lie close to its outline.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

#: Width of the band, as a fraction of the image's diagonal (the value of the metric's authors).
BAND_FRACTION = 0.02


def band_width(height: int, width: int, fraction: float = BAND_FRACTION) -> int:
    """Width of the boundary band in pixels: a fraction of the diagonal, at least one."""
    return max(1, round(fraction * float(np.hypot(height, width))))


def boundary_band(labels: np.ndarray, width: int) -> np.ndarray:
    """Pixels with a pixel of another label at most ``width`` away (in rows and in columns).

    Parameters
    ----------
    labels : (H, W) integer
    width : int
        Pixels.

    Returns
    -------
    (H, W) bool
    """
    size = 2 * width + 1
    return maximum_filter(labels, size, mode="nearest") != minimum_filter(labels, size, mode="nearest")


@dataclass
class BoundaryIoU:
    """Accumulates over images; the state of two halves of a set can be merged.

    Parameters
    ----------
    classes : int
        Number of classes.
    fraction : float
        Width of the band as a fraction of the image's diagonal.
    """

    classes: int
    fraction: float = BAND_FRACTION
    intersection: np.ndarray = field(init=False)
    union: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.intersection = np.zeros(self.classes, dtype=np.int64)
        self.union = np.zeros(self.classes, dtype=np.int64)

    def update(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """Count one image.

        Parameters
        ----------
        prediction, target : (H, W) integer
            Class ids; a negative target is ignored.

        Raises
        ------
        ValueError
            If the sizes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(f"prediction is {prediction.shape} and target {target.shape}; they must have one size")
        width = band_width(*target.shape, self.fraction)
        valid = target >= 0
        near_predicted = boundary_band(prediction, width) & valid
        near_target = boundary_band(target, width) & valid
        both = near_predicted & near_target & (prediction == target)
        overlap = self._count(target[both])
        self.intersection += overlap
        self.union += self._count(prediction[near_predicted]) + self._count(target[near_target]) - overlap

    def merge(self, other: BoundaryIoU) -> None:
        """Add the counts of another part of the set."""
        self.intersection += other.intersection
        self.union += other.union

    def compute(self) -> float:
        """Mean over the classes with a boundary in prediction or target, per cent; NaN if there is none."""
        seen = self.union > 0
        return float(100 * (self.intersection[seen] / self.union[seen]).mean()) if seen.any() else float("nan")

    def _count(self, labels: np.ndarray) -> np.ndarray:
        return np.bincount(labels, minlength=self.classes)
