"""Confusion matrices that add up: counts, so that neither order nor sharding can change a digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says, per class and as a whole.

    Attributes
    ----------
    miou : float
        Per cent; mean intersection over union of the classes that occur in ground truth or prediction.
    macc : float
        Per cent; mean share of correct pixels of the classes that occur in the ground truth.
    aacc : float
        Per cent of all counted pixels that are correct.
    iou, acc : (K,) float64
        Per cent for each class; NaN where it does not occur.
    pixels : (K,) int64
        Ground-truth pixels of each class.

    Without a counted pixel every figure is NaN.
    """

    miou: float
    macc: float
    aacc: float
    iou: np.ndarray
    acc: np.ndarray
    pixels: np.ndarray


class Confusion:
    """Counts of (ground truth, prediction) pairs of classes.

    Parameters
    ----------
    classes : int
        Number of classes K.
    counts : (K, K) int64, optional
        Counts so far, rows are ground truth; zeros by default.

    Examples
    --------
    >>> confusion = Confusion(2)
    >>> confusion.update(np.array([[0, 1]]), np.array([[0, -1]]))
    >>> confusion.compute().aacc
    100.0
    """

    def __init__(self, classes: int, counts: np.ndarray | None = None) -> None:
        if classes < 1:
            raise ValueError(f"classes must be positive, got {classes}")
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64) if counts is None else np.asarray(counts)
        if self.counts.shape != (classes, classes) or self.counts.dtype != np.int64:
            raise ValueError(
                f"counts must be ({classes}, {classes}) int64, got {self.counts.shape} {self.counts.dtype}"
            )

    def update(self, prediction: np.ndarray | Tensor, target: np.ndarray | Tensor) -> None:
        """Count the pixels of one image, on the device that holds the prediction.

        Parameters
        ----------
        prediction : (H, W) integer, class ids
        target : (H, W) integer, class ids or -1 where the pixel is not counted

        Raises
        ------
        ValueError
            If the sizes differ, or a value is no class.
        """
        prediction = torch.as_tensor(prediction)
        target = torch.as_tensor(target, device=prediction.device)
        if prediction.shape != target.shape:
            raise ValueError(
                f"prediction {tuple(prediction.shape)} and ground truth {tuple(target.shape)} differ in size"
            )
        for what, values, least in (("prediction", prediction, 0), ("ground truth", target, -1)):
            low, high = (int(value) for value in values.aminmax())
            if low < least or high >= self.classes:
                raise ValueError(f"{what} holds {low} to {high}; class ids are 0 to {self.classes - 1}")
        # One row more than classes: what is not counted goes there (by index -1, the last) and is dropped.
        rows = target.long() % (self.classes + 1)
        pairs = torch.bincount((rows * self.classes + prediction).flatten(), minlength=self.classes**2)
        self.counts += pairs[: self.classes**2].reshape(self.classes, self.classes).cpu().numpy()

    def merge(self, other: Confusion) -> None:
        """Add the counts of another part of the same set."""
        if other.classes != self.classes:
            raise ValueError(f"cannot merge counts of {other.classes} classes into {self.classes}")
        self.counts += other.counts

    def compute(self) -> Scores:
        """Return the scores of everything counted so far."""
        hits = np.diag(self.counts).astype(np.float64)
        truth, predicted = self.counts.sum(axis=1), self.counts.sum(axis=0)
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: the class does not occur
            iou = 100 * hits / (truth + predicted - hits)
            acc = 100 * hits / truth
        if not truth.any():
            return Scores(np.nan, np.nan, np.nan, iou, acc, truth)
        return Scores(
            miou=float(np.nanmean(iou)),
            macc=float(np.nanmean(acc)),
            aacc=float(100 * hits.sum() / truth.sum()),
            iou=iou,
            acc=acc,
            pixels=truth,
        )
