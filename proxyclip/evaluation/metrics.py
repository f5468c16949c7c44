"""Metrics from integer counts, so that neither the order of the images nor sharding can change a digit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from proxyclip.evaluation.spread import class_iou


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix, per class and over all classes. Without a counted pixel every figure is NaN."""

    miou: float  #: Per cent; mean intersection over union of the classes that occur in ground truth or prediction.
    macc: float  #: Per cent; mean share of correct pixels of the classes that occur in the ground truth.
    aacc: float  #: Per cent of all counted pixels that are correct.
    #: (K,) float64: per cent for each class; NaN where it does not occur.
    iou: np.ndarray
    acc: np.ndarray
    pixels: np.ndarray  #: (K,) int64: ground-truth pixels of each class.


class Confusion:
    """Counts of (ground truth, prediction) pairs of classes.

    Parameters
    ----------
    classes : int
        Number of classes K.
    void : bool
        Whether pixels of no class are counted, as in the published evaluation of ADE847 and PC459: a last row,
        (K + 1, K), holds the predictions on them, all of which are wrong.

    Examples
    --------
    >>> confusion = Confusion(2)
    >>> confusion.update(prediction=np.array([[0, 1], [1, 1]]), target=np.array([[0, -1], [0, 1]]))
    >>> confusion.counts  # rows are ground truth; -1 is not counted
    array([[1, 1],
           [0, 1]])
    >>> confusion.compute().miou  # each class: one pixel of two
    50.0
    >>> other = Confusion(2)
    >>> other.update(np.array([[1]]), np.array([[1]]))
    >>> confusion.merge(other)
    >>> confusion.compute().aacc
    75.0
    """

    def __init__(self, classes: int, void: bool = False) -> None:
        self.classes = classes
        self.counts = np.zeros((classes + void, classes), np.int64)  # rows are ground truth

    def update(self, prediction: np.ndarray | Tensor, target: np.ndarray | Tensor) -> None:
        """Count the pixels of one image; arguments as for :func:`pairs_of`."""
        self.add(pairs_of(prediction, target, self.classes, len(self.counts)))

    def add(self, pairs: Pairs) -> None:
        """Add what :func:`pairs_of` has counted."""
        self.counts.reshape(-1)[pairs.cells] += pairs.counts

    def merge(self, other: Confusion) -> None:
        """Add the counts of another part of the same set."""
        if other.classes != self.classes:
            raise ValueError(f"cannot merge counts of {other.classes} classes into {self.classes}")
        self.counts += other.counts

    def areas(self) -> np.ndarray:
        """Return the correct, the annotated and the predicted pixels of each class, (3, K) int64."""
        truth, predicted = self.counts.sum(axis=1)[: self.classes], self.counts.sum(axis=0)
        return np.stack([self.counts.diagonal(), truth, predicted])

    def compute(self) -> Scores:
        """Return the scores of everything counted so far."""
        areas = self.areas()
        hits, truth, _ = areas
        iou = class_iou(areas)
        with np.errstate(invalid="ignore"):
            acc = 100 * hits / truth
        if not truth.any():
            return Scores(np.nan, np.nan, np.nan, iou, acc, truth)
        aacc = float(100 * hits.sum() / truth.sum())
        return Scores(float(np.nanmean(iou)), float(np.nanmean(acc)), aacc, iou, acc, truth)


@dataclass(frozen=True)
class Pairs:
    """The pairs of classes that occur in one image."""

    cells: np.ndarray  #: (n,) int64: ``truth * classes + prediction`` of each pair, ascending.
    counts: np.ndarray  #: (n,) int64: pixels of each pair.

    def areas(self, classes: int) -> np.ndarray:
        """Correct, annotated and predicted pixels of each class, (3, classes) int64; see :meth:`Confusion.areas`."""
        truth, predicted = np.divmod(self.cells, classes)
        found = np.zeros((3, classes + 1), np.int64)  # the last column takes pixels of no class
        right = truth == predicted
        for row, labels, counts in ((0, truth[right], self.counts[right]), (1, truth, self.counts),
                                    (2, predicted, self.counts)):
            np.add.at(found[row], labels, counts)
        return found[:, :classes]


def pairs_of(prediction: np.ndarray | Tensor, target: np.ndarray | Tensor, classes: int, truths: int) -> Pairs:
    """Count the pairs of classes in one image, on the device that holds the prediction.

    The prediction is (H, W) integer, of so many ``classes``; the target too, -1 where the pixel is not counted, with
    ``truths`` values: as many, or one more where pixels of no class are counted. A ``ValueError`` refuses another size,
    and values that are no class.
    """
    prediction = torch.as_tensor(prediction)
    target = torch.as_tensor(target, device=prediction.device)
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and ground truth {tuple(target.shape)} differ in size")
    for what, values, least, end in (("prediction", prediction, 0, classes), ("ground truth", target, -1, truths)):
        low, high = (int(value) for value in values.aminmax())
        if low < least or high >= end:
            raise ValueError(f"{what} holds {low} to {high}; class ids are 0 to {classes - 1}")
    # One row more than is kept: ignored pixels (-1) are counted in it, and it is dropped.
    rows = target.long() % (truths + 1)
    table = torch.bincount((rows * classes + prediction).flatten(), minlength=truths * classes)[: truths * classes]
    cells = table.nonzero()[:, 0]
    return Pairs(cells.cpu().numpy(), table[cells].cpu().numpy())


#: Width of the band, as a fraction of the image's diagonal (the value of the metric's authors).
BAND_FRACTION = 0.02


def boundary_band(labels: np.ndarray, width: int, valid: np.ndarray, frame: bool = True) -> np.ndarray:
    """Pixels, (H, W) bool, with a pixel of another label, or the outside, at most ``width`` away in rows and in
    columns.

    With ``frame`` the border of the image is a boundary of what it cuts, as in the metric's published code (Cheng et
    al., 2021). Of labels (H, W) integer, pixels that are not ``valid``, (H, W) bool, are ignored, and the edge between
    them and others is no boundary.
    """
    size = 2 * width + 1
    highest = ndimage.maximum_filter(np.where(valid, labels, labels.min()), size, mode="nearest")
    lowest = ndimage.minimum_filter(np.where(valid, labels, labels.max()), size, mode="nearest")
    near = highest != lowest
    if frame:
        near[:width] = near[-width:] = near[:, :width] = near[:, -width:] = True
    return valid & near


def boundary_areas(
    prediction: np.ndarray, target: np.ndarray, classes: int, fraction: float = BAND_FRACTION, frame: bool = True
) -> np.ndarray:
    """Count the pixels of one image that lie near a boundary; boundary IoU is the IoU of these areas.

    Prediction and target are (H, W) integer. Pixels with a negative target are ignored, and so are the edges between
    them and the rest. The band is as wide as a ``fraction`` of the image's diagonal, with or without the image's frame
    (:func:`boundary_band`). Returns (3, K) int64, the rows of :meth:`Confusion.areas`: pixels of each class that lie
    near a boundary in both and agree, in the target, and in the prediction. ``ValueError`` if the sizes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction is {prediction.shape} and target {target.shape}; they must have one size")
    width = max(1, round(fraction * float(np.hypot(*target.shape))))
    valid = target >= 0
    near_predicted = boundary_band(prediction, width, valid, frame)
    near_target = boundary_band(target, width, valid, frame)
    both = near_predicted & near_target & (prediction == target)
    parts = target[both], target[near_target], prediction[near_predicted]
    return np.stack([np.bincount(part, minlength=classes) for part in parts])


#: Sizes of a small object, as fractions of the image's pixels.
SMALL = (0.001, 0.01)


def small_objects(prediction: np.ndarray, target: np.ndarray, no_objects: Collection[int] = ()) -> tuple[int, int]:
    """Count the small regions of the ground truth of one image: those that are found, and all of them.

    A region is a connected component of one class (8-connectivity) whose area is a fraction of the image within
    :data:`SMALL`; it is found when more than half of its pixels are labelled with its class. Prediction and target are
    (H, W) integer, and a negative target is ignored, as are the regions of ``no_objects``, such as the background.
    """
    low, high = (fraction * target.size for fraction in SMALL)
    found = total = 0
    for label in np.setdiff1d(target[target >= 0], list(no_objects)):
        regions, count = ndimage.label(target == label, structure=np.ones((3, 3)))
        areas = np.bincount(regions.ravel(), minlength=count + 1)
        hits = np.bincount(regions[prediction == label], minlength=count + 1)
        small = (areas >= low) & (areas <= high)
        small[0] = False
        total += int(small.sum())
        found += int((2 * hits[small] > areas[small]).sum())
    return found, total
