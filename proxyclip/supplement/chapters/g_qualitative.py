"""Section G: what the rules draw, and how well outlines and small objects come out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from proxyclip.data.base import Dataset, Sample
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.metrics import BoundaryIoU, Confusion, SmallObjectRecall
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.rules import Rule
from proxyclip.segment import ProxyCLIP


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
    model = under_protocol(model, data)
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
    data, classes = data.first(limit), len(data.vocabulary)
    areas = {rule.name: Confusion(classes) for rule in rules}
    outlines = {rule.name: BoundaryIoU(classes) for rule in rules}
    small = {rule.name: SmallObjectRecall() for rule in rules}
    for panel in predict(model, data, rules, range(len(data))):
        for name, labels in panel.labels.items():
            for metric in (areas[name], outlines[name], small[name]):
                metric.update(labels, panel.sample.labels)
    rows = [
        dict(rule=name, miou=areas[name].compute().miou, boundary_iou=outlines[name].compute(),
             small_recall=small[name].compute(), small_objects=small[name].total, images=len(data))
        for name in areas
    ]
    return pd.DataFrame(rows)
