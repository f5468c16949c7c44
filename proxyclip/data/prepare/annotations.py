"""Readers of the official annotations, with errors that name the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from proxyclip.data.samples import DataError, SampleError, read_text
from proxyclip.system.extras import explained


def matlab_variable(path: Path, name: str, **options: Any) -> Any:
    """A variable of a ``.mat`` file; ``options`` are those of ``scipy.io.loadmat``."""
    from scipy.io import loadmat

    try:
        variables = loadmat(path, variable_names=[name], **options)
    except Exception as error:  # of a damaged file SciPy raises errors of many kinds
        raise SampleError(path, f"not a readable .mat file ({error or type(error).__name__})") from error
    if name not in variables:
        raise SampleError(path, f"has no {name}")
    return variables[name]


def matlab_map(path: Path) -> np.ndarray:
    """The ``LabelMap`` of one of PASCAL Context's ``.mat`` files, (H, W) int64."""
    labels = np.asarray(matlab_variable(path, "LabelMap"))
    if labels.ndim != 2 or labels.dtype.kind not in "iuf":
        raise SampleError(path, f"its LabelMap is {labels.dtype} {labels.shape}; allowed are numbers, (H, W)")
    return labels.astype(np.int64)


def coco_mask(shape: Any, height: int, width: int) -> np.ndarray:
    """The pixels of a segmentation in COCO's format, (H, W) bool: polygons, or run lengths, compressed or not."""
    with explained():
        from pycocotools import mask as masks

    if isinstance(shape, list):  # polygons
        shape = masks.merge(masks.frPyObjects(shape, height, width))
    elif isinstance(shape["counts"], list):  # uncompressed run lengths
        shape = masks.frPyObjects(shape, height, width)
    return masks.decode(shape) > 0


def painted(
    annotations: Sequence[Mapping[str, Any]], classes: Mapping[int, int], height: int, width: int
) -> np.ndarray:
    """Paint the annotations of an image in their order, so that the last one wins, (H, W) int64; 0 where there is none.

    ``classes`` has the label of each category; others are painted as 0.
    """
    labels = np.zeros((height, width), np.int64)
    for entry in annotations:
        if entry["segmentation"]:
            labels[coco_mask(entry["segmentation"], height, width)] = classes.get(entry["category_id"], 0)
    return labels


def cityscapes_polygons(path: Path, labels: Mapping[str, tuple[int, int]], rest: int) -> np.ndarray:
    """Draw a ``*_gtFine_polygons.json`` of Cityscapes in train ids, (H, W) int64, as the official scripts do.

    Later objects of the file hide earlier ones. A group whose name is no label of its own ("cargroup") counts as its
    class. A label with a negative id (the license plate) is not drawn, so what lies beneath stays. ``labels`` has the
    id and the train id of each label; pixels where nothing is drawn become ``rest``.
    """
    try:
        record = json.loads(read_text(path, "polygon file"))
        picture = Image.new("I", (int(record["imgWidth"]), int(record["imgHeight"])), rest)
        draw = ImageDraw.Draw(picture)
        for part in record["objects"]:
            name = part["label"] if part["label"] in labels else part["label"].removesuffix("group")
            if name not in labels:
                raise ValueError(f"{part['label']!r} is none of its {len(labels)} labels")
            number, train_id = labels[name]
            if number >= 0 and not part.get("deleted"):
                draw.polygon([tuple(point) for point in part["polygon"]], fill=train_id)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SampleError(path, f"not a polygon file of Cityscapes ({type(error).__name__}: {error})") from error
    return np.asarray(picture).astype(np.int64)


def merged_context(path: Path) -> tuple[dict[int, str], dict[str, dict[str, Any]]]:
    """PASCAL Context's single file, ``trainval_merged.json``: names of the categories by number, and images by their
    ids.

    An image (``2008_000002``) has height, width, phase ("train" or "val") and annotations.
    """
    try:
        record = json.loads(read_text(path, "JSON file"))
        categories = {_id(entry, "category_id"): entry["name"] for entry in record["categories"]}
        images, names = {}, {}
        for entry in record["images"]:
            name = Path(entry["file_name"]).stem
            names[_id(entry, "image_id")] = name
            images[name] = {"phase": entry["phase"], "height": int(entry["height"]), "width": int(entry["width"]),
                            "annotations": []}
        for entry in record["annos_segmentation"]:
            images[names[entry["image_id"]]]["annotations"].append(entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not PASCAL Context's trainval_merged.json ({type(error).__name__}: {error})"
                        ) from error
    return categories, images


def _id(entry: Mapping[str, Any], name: str) -> int:
    return entry[name] if name in entry else entry["id"]
