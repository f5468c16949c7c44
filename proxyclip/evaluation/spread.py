"""The spread of a score over images: counts of every image, and the bootstrap over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

#: Resamples of the bootstrap; they estimate a standard error to about 5 %.
RESAMPLES = 200


@dataclass
class ImageCounts:
    """For every image, rule and class: correct, annotated and predicted pixels. Two parts of a set can be merged."""

    #: Two (n,) int64 by index of the image: the cells of a (rules, 3, classes) table that are
    #: not zero, and their counts.
    counts: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def add(self, index: int, areas: np.ndarray) -> None:
        """Add an image by its index, from its areas (:meth:`Confusion.areas`), (rules, 3, classes) int64."""
        if len(cells := np.flatnonzero(areas)):  # sets drawn of images without a counted pixel have no score
            self.counts[index] = cells, areas.ravel()[cells]

    def merge(self, other: ImageCounts) -> None:
        """Add the images of another part of the same set."""
        self.counts |= other.counts

    def table(self, rules: int, classes: int) -> np.ndarray:
        """Return everything, (images, rules, 3, classes) int64, in the order of the images."""
        tables = np.zeros((len(self.counts), rules * 3 * classes), np.int64)
        for row, index in zip(tables, sorted(self.counts), strict=True):
            cells, counts = self.counts[index]
            row[cells] = counts
        return tables.reshape(-1, rules, 3, classes)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the counts as arrays for a file; :meth:`from_arrays` reads them back."""
        indices = sorted(self.counts)
        lengths = [len(self.counts[index][0]) for index in indices]
        empty = [np.zeros(0, np.int64)]
        return {"image_index": np.array(indices, np.int64), "image_lengths": np.array(lengths, np.int64),
                "image_cells": np.concatenate([self.counts[index][0] for index in indices] or empty),
                "image_counts": np.concatenate([self.counts[index][1] for index in indices] or empty)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ImageCounts:
        """Read the counts back from :meth:`arrays`."""
        indices, lengths, cells, counts = (arrays[f"image_{name}"] for name in ("index", "lengths", "cells", "counts"))
        ends = np.cumsum(lengths)
        parts = map(slice, (ends - lengths).tolist(), ends.tolist())
        return cls({int(index): (cells[part], counts[part]) for index, part in zip(indices, parts, strict=True)})


def class_iou(counts: np.ndarray) -> np.ndarray:
    """IoU of each class in per cent, (..., 3, classes) counts -> (..., classes) float64; NaN where none occurs."""
    hits, truth, predicted = np.moveaxis(counts.astype(np.float64), -2, 0)
    with np.errstate(invalid="ignore"):  # 0 / 0
        return 100 * hits / (truth + predicted - hits)


def mean_iou(counts: np.ndarray) -> np.ndarray:
    """mIoU in per cent of (..., 3, classes) counts, over the classes that occur in ground truth or prediction."""
    iou = class_iou(counts)
    with np.errstate(invalid="ignore"):
        return np.nansum(iou, axis=-1) / np.isfinite(iou).sum(axis=-1)


def draws_of(images: int, seed: int = 0, resamples: int | None = None) -> np.ndarray:
    """How often each image is drawn in every resample, (resamples, images) int64; :data:`RESAMPLES` by default."""
    drawn = np.random.Generator(np.random.PCG64(seed))
    return drawn.multinomial(images, np.full(images, 1 / images), RESAMPLES if resamples is None else resamples)


def bootstrap(table: np.ndarray) -> np.ndarray:
    """mIoU of each rule on sets drawn from the images with replacement, the same images for every rule.

    Takes what :meth:`ImageCounts.table` gives, (images, rules, 3, classes), and returns (RESAMPLES, rules) float64.
    """
    draws = draws_of(len(table)).astype(np.float64)  # a product of floats is fast, and exact below 2^53
    return np.stack([mean_iou(np.tensordot(draws, table[:, rule].astype(np.float64), axes=1))
                     for rule in range(table.shape[1])], axis=1)


def standard_errors(table: np.ndarray) -> np.ndarray:
    """Bootstrap standard error of each rule's mIoU, (rules,) in points; NaN for fewer than two images."""
    if len(table) < 2:
        return np.full(table.shape[1], np.nan)
    return bootstrap(table).std(axis=0, ddof=1)
