"""Section G: what the rules draw, and how well outlines and small objects come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from proxyclip.base import Dataset, Sample
from proxyclip.boundaries import BoundaryIoU
from proxyclip.confusion import Confusion
from proxyclip.evaluation import under_protocol
from proxyclip.label_stream import labels_from_embedding
from proxyclip.rules import Rule
from proxyclip.segment import ProxyCLIP

#: Sizes of a small object, as fractions of the image's pixels.
SMALL = (0.001, 0.01)


@dataclass(frozen=True)
class Panel:
    """One image under every rule.

    Parameters
    ----------
    sample : Sample
        Image and ground truth.
    labels : dict of str to (H, W) int64
        Prediction by rule name.
    """

    sample: Sample
    labels: dict[str, np.ndarray]


def predict(model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], indices: Sequence[int]) -> Iterator[Panel]:
    """Label images under several rules, the backbones running once for all of them, under the set's protocol.

    Parameters
    ----------
    model : ProxyCLIP
    data : Dataset
    rules : sequence of Rule
    indices : sequence of int
        Images of the set.

    Yields
    ------
    Panel
    """
    with under_protocol(model, data) as model:
        text = model.encode_classes(data.vocabulary)
        thresholds = [data.protocol.threshold(rule.name) for rule in rules]
        for index in indices:
            sample = data[index]
            embeddings = model.embed(np.asarray(sample.image), rules)
            labels = {
                rule.name: labels_from_embedding(embedding, text, threshold).cpu().numpy()
                for rule, embedding, threshold in zip(rules, embeddings, thresholds, strict=True)
            }
            yield Panel(sample, labels)


def middle_of_largest_object(sample: Sample, background: int | None = None) -> tuple[int, int]:
    """A point to look at: the innermost pixel of the largest region that does not touch the image's border.

    Parameters
    ----------
    sample : Sample
    background : int, optional
        A class that is no object.

    Returns
    -------
    (row, column), of the centre of the image where no region lies inside it
    """
    best, point = 0.0, (sample.labels.shape[0] // 2, sample.labels.shape[1] // 2)
    for label in np.unique(sample.labels[sample.labels >= 0]):
        regions, count = ndimage.label(sample.labels == label)
        border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
        inside = [region for region in range(1, count + 1) if region not in border]
        depth = ndimage.distance_transform_edt(np.isin(regions, inside)) if label != background and inside else None
        if depth is not None and depth.max() > best:
            best, point = float(depth.max()), tuple(int(i) for i in np.unravel_index(depth.argmax(), depth.shape))
    return point


@dataclass
class SmallObjectRecall:
    """Share of the small regions of the ground truth that are found.

    A region is a connected component of one class (8-connectivity) whose area is a fraction of the image within
    :data:`SMALL`; it is found when more than half of its pixels are labelled with its class.
    """

    found: int = 0
    total: int = 0

    def update(self, prediction: np.ndarray, target: np.ndarray) -> None:
        """Count the regions of one image, (H, W) class ids each; a negative target is ignored."""
        low, high = (fraction * target.size for fraction in SMALL)
        for label in np.unique(target[target >= 0]):
            regions, count = ndimage.label(target == label, structure=np.ones((3, 3)))
            areas = np.bincount(regions.ravel(), minlength=count + 1)
            hits = np.bincount(regions[prediction == label], minlength=count + 1)
            small = (areas >= low) & (areas <= high)
            small[0] = False
            self.total += int(small.sum())
            self.found += int((2 * hits[small] > areas[small]).sum())

    def compute(self) -> float:
        """Per cent; NaN without a small region."""
        return 100 * self.found / self.total if self.total else float("nan")


def measure(model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], limit: int | None = None) -> pd.DataFrame:
    """Score areas, outlines and small objects on a set.

    Parameters
    ----------
    model, data, rules
        As for :func:`predict`.
    limit : int, optional
        Only the first ``limit`` images.

    Returns
    -------
    pandas.DataFrame
        One row per rule: rule, miou, boundary_iou, small_recall (per cent), small_objects, images.
    """
    count = len(data) if limit is None else min(limit, len(data))
    classes = len(data.vocabulary)
    areas = {rule.name: Confusion(classes) for rule in rules}
    outlines = {rule.name: BoundaryIoU(classes) for rule in rules}
    small = {rule.name: SmallObjectRecall() for rule in rules}
    for panel in predict(model, data, rules, range(count)):
        for name, labels in panel.labels.items():
            for metric in (areas[name], outlines[name], small[name]):
                metric.update(labels, panel.sample.labels)
    rows = [
        dict(rule=name, miou=areas[name].compute().miou, boundary_iou=outlines[name].compute(),
             small_recall=small[name].compute(), small_objects=small[name].total, images=count)
        for name in areas
    ]
    return pd.DataFrame(rows)
