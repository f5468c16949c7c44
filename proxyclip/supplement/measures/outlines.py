"""Segmentations of one image under several rules, and how well outlines and small objects come out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage

from proxyclip.data import vocab
from proxyclip.data.base import Dataset, Sample
from proxyclip.evaluation.evaluator import ByModel, under_protocol
from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.metrics import Confusion, boundary_areas, small_objects
from proxyclip.evaluation.spread import class_iou, mean_iou, standard_errors
from proxyclip.rules import MaskingRule, Rule
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement.display_names import family_of
from proxyclip.tiny.world.classes import THINGS


@dataclass(frozen=True)
class Panel:
    """One image under every rule."""

    sample: Sample  #: Image and ground truth.
    labels: dict[str, np.ndarray]  #: (H, W) int64: prediction by rule name.


def predict(model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], indices: Sequence[int]) -> Iterator[Panel]:
    """Label images of a set under several rules and the set's protocol; the backbones run once for all of them."""
    method = ByModel(under_protocol(model, data), data, rules, None)
    method.prepare()
    for index in indices:
        sample = data[index]
        labels = (found.cpu().numpy() for found in method.label(index, sample, Geometry()))
        yield Panel(sample, dict(zip(method.names, labels, strict=True)))


def side_by_side(
    models: Mapping[str, ProxyCLIP], data: Dataset, rules: Mapping[str, Rule], indices: Sequence[int]
) -> tuple[list[Panel], dict[str, str]]:
    """Label images of a set under several rules, given by title; those that read a foundation model with each model.

    Models are given by the name of theirs. Images that the set lacks are left out. Returns the panels, and the titles
    by the key of their labels.
    """
    indices = [index for index in indices if index < len(data)]
    labels: list[dict[str, np.ndarray]] = [{} for _ in indices]
    titles: dict[str, str] = {}
    samples: list[Sample] = []
    for number, (vfm, model) in enumerate(models.items()):
        chosen = {title: rule for title, rule in rules.items() if number == 0 or isinstance(rule, MaskingRule)}
        for place, panel in enumerate(predict(model, data, list(chosen.values()), indices)):
            samples += [panel.sample] if number == 0 else []
            for title, rule in chosen.items():
                read = isinstance(rule, MaskingRule) and len(models) > 1
                key = f"{rule.name}, {vfm}" if read else rule.name
                titles[key] = f"{title} ({family_of(vfm)})" if read else title
                labels[place][key] = panel.labels[rule.name]
    return [Panel(sample, found) for sample, found in zip(samples, labels, strict=True)], titles


def no_objects(data: Dataset) -> list[int]:
    """Classes of a set that are not countable objects: the background, textures, sky, road and the like.

    An object of a generated set is one of the tiny world's things; of a benchmark, a class that shares a name with one
    of COCO's or Pascal's objects.
    """
    vocabulary = data.vocabulary
    if data.name.startswith("tiny/"):
        return [number for number, name in enumerate(vocabulary.names) if name.split(" ")[-1] not in THINGS]
    objects = set()
    for benchmark in ("coco_object", "voc20"):
        known = vocab.load(benchmark)
        objects |= {query for query, number in zip(known.queries, known.class_of_query, strict=True)
                    if known.names[number] != "background"}
    named = {number for query, number in zip(vocabulary.queries, vocabulary.class_of_query, strict=True)
             if query in objects and vocabulary.names[number] != "background"}
    return [number for number in range(len(vocabulary)) if number not in named]


def middle_of_largest_object(sample: Sample, no_objects: Collection[int] = ()) -> tuple[int, int] | None:
    """A point (row, column) to look at: the innermost pixel of an object; None where the image holds none.

    If possible it is one of an object that does not touch the image's border. ``no_objects`` are classes that do not
    count.
    """
    best = (False, 0.0)
    point: tuple[int, int] | None = None
    for label in np.setdiff1d(sample.labels[sample.labels >= 0], list(no_objects)):
        regions, count = ndimage.label(sample.labels == label)
        border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
        padded = np.pad(regions, 1)  # outside the image no object goes on
        for region in range(1, count + 1):
            depth = ndimage.distance_transform_edt(padded == region)[1:-1, 1:-1]
            rank = (region not in border, float(depth.max()))
            if rank > best:
                row, column = np.unravel_index(depth.argmax(), depth.shape)
                best, point = rank, (int(row), int(column))
    return point


def first_with_object(data: Dataset, images: Sequence[int]) -> tuple[Sample, tuple[int, int]]:
    """The first of some images that shows an object, and its middle; ``ValueError`` if none of them does."""
    ignored = no_objects(data)
    for index in images:
        if index < len(data) and (point := middle_of_largest_object(data[index], ignored)) is not None:
            return data[index], point
    raise ValueError(f"{data.name}: no object in the images {', '.join(map(str, images))}; choose others")


def measure(model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], limit: int | None = None) -> pd.DataFrame:
    """Score areas, outlines and small objects on the first images of a set; arguments as for :func:`predict`.

    The columns are rule, metric (miou, boundary_iou or small_recall), of, value and error: in per cent, with the
    bootstrap standard error over the images, where ``of`` is empty; and the boundary IoU of each class, named in
    ``of``, that is an object and has a boundary.
    """
    data = data.first(limit)
    ignored = no_objects(data)
    counts: dict[str, list[np.ndarray]] = {metric: [] for metric in MEASURED}
    for panel in predict(model, data, rules, range(len(data))):
        found = [_counts_of(labels, panel.sample.labels, len(data.vocabulary), ignored)
                 for labels in panel.labels.values()]
        for metric, parts in zip(MEASURED, zip(*found, strict=True), strict=True):
            counts[metric].append(np.stack(parts))
    tables = {metric: np.stack(parts) for metric, parts in counts.items()}
    names = [rule.name for rule in rules]
    with np.errstate(invalid="ignore"):
        scores = pd.concat([pd.DataFrame({
            "rule": names, "metric": metric, "of": "", "value": mean_iou(table.sum(axis=0)),
            "error": standard_errors(table)}) for metric, table in tables.items()]).sort_index(kind="stable")
    areas = tables["boundary_iou"].sum(axis=0)  # (rules, 3, classes)
    outlines = pd.DataFrame(class_iou(areas).T, index=data.vocabulary.names, columns=names)
    outlines = outlines[areas[:, 1].any(axis=0) & ~np.isin(np.arange(len(outlines)), ignored)]
    by_class = outlines.melt(var_name="rule", ignore_index=False).rename_axis("of").reset_index()
    return pd.concat([scores, by_class.assign(metric="boundary_iou")], ignore_index=True)


#: What :func:`measure` scores.
MEASURED = ("miou", "boundary_iou", "small_recall")


def _counts_of(
    labels: np.ndarray, target: np.ndarray, classes: int, ignored: Collection[int]
) -> tuple[np.ndarray, ...]:
    """Counts (3, K) of one image for each of :data:`MEASURED`: what is right, what is annotated, what is predicted."""
    confusion = Confusion(classes)
    confusion.update(labels, target)
    found, total = small_objects(labels, target, ignored)
    return confusion.areas(), boundary_areas(labels, target, classes), np.array([[found], [total], [found]])
