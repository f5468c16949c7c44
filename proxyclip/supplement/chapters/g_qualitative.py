"""Section G: what the rules draw, and how well outlines and small objects come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy import ndimage

from proxyclip.data.base import Dataset, Sample
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.metrics import BoundaryIoU, Confusion, SmallObjectRecall
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.segmentation import class_colours
from proxyclip.rules import Rule
from proxyclip.segment import ProxyCLIP
from proxyclip.text import Vocabulary


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


def by_metric(frame: pd.DataFrame, methods: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Scores of the chapter by metric: a row per set, a column per method; NaN where a measure had no case."""
    names = list(dict.fromkeys(frame["dataset"]))
    return {
        metric: frame[frame["metric"] == metric].pivot_table(index="dataset", columns="method", values="value")
        .reindex(index=names, columns=list(methods))
        for metric in ("miou", "boundary_iou", "small_recall")
    }


#: Inches of a picture's side in a figure.
CELL = 1.45

#: Inches that a title above a picture takes.
TITLE = 0.25

#: From this ratio of width to height on a figure has a picture less side by side.
WIDE = 1.5

#: A class is named in the legend from this share of a picture on.
NAMED_FROM = 0.02


def vocabulary_colours(vocabulary: Vocabulary) -> np.ndarray:
    """Colours of a vocabulary's classes, (K, 3) uint8; a class called background is dark grey."""
    colours = class_colours(len(vocabulary))
    for index, name in enumerate(vocabulary.names):
        if name == "background":
            colours[index] = (58, 58, 58)
    return colours


def comparison(
    panels: Sequence[Panel], vocabulary: Vocabulary, titles: Mapping[str, str], columns: int | None = None
) -> Figure:
    """Image, ground truth and the prediction of each rule for every panel, with one legend.

    Parameters
    ----------
    panels : sequence of Panel
    vocabulary : Vocabulary
    titles : mapping of rule name to title
        In the order of the pictures.
    columns : int, optional
        Pictures side by side, one less of wide scenes; by default those of a panel stand in one row, under titles that
        all panels share.

    Returns
    -------
    matplotlib Figure
    """
    names = ["image", "ground truth", *titles.values()]
    colours = vocabulary_colours(vocabulary)
    height, width = panels[0].sample.labels.shape
    aspect = min(width / height, 2.0)
    across = columns or len(names)
    if columns and aspect > WIDE:  # or a phone would show the figure, and its letters, too small
        across = max(1, columns - 1)
    down = -(-len(names) // across)
    title = TITLE if down > 1 else 0.1
    figure = Figure(figsize=(across * CELL * aspect**0.5, len(panels) * down * (CELL * aspect**-0.5 + title) + 0.9),
                    layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels) * down, across, squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    shown: set[int] = set()
    for number, panel in enumerate(panels):
        axes = list(grid[number * down : (number + 1) * down].flat)
        axes[0].imshow(np.asarray(panel.sample.image))
        for ax, labels in zip(axes[1:], [panel.sample.labels, *(panel.labels[rule] for rule in titles)], strict=False):
            ax.imshow(_coloured(labels, colours), interpolation="nearest")
            shares = np.bincount(labels[labels >= 0], minlength=len(vocabulary)) / labels.size
            shown |= set(np.flatnonzero(shares >= NAMED_FROM).tolist())
        if number == 0 or down > 1:
            for ax, title in zip(axes, names, strict=False):
                ax.set_title(title, fontsize=11)
    handles = [Patch(color=colours[index] / 255, label=vocabulary.names[index]) for index in sorted(shown)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4 if columns else 7, max(len(handles), 1)),
                  fontsize=10, frameon=False, handlelength=1, columnspacing=1.0, handletextpad=0.4)
    return figure


def _coloured(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W) class ids to (H, W, 3) uint8; what is not counted stays white."""
    return np.where((labels >= 0)[..., None], colours[np.maximum(labels, 0)], 255).astype(np.uint8)
