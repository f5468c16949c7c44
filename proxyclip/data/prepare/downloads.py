"""Readers of the official downloads: annotations, and lists of names, whose numbers become class ids."""

import io
import json
import pickle
import re
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


def numbered_names(path: Path) -> dict[int, str]:
    """Read a list of lines like ``12: air conditioner``; :class:`DataError` where it has others."""
    names = {}
    for place, line in enumerate(read_text(path, "list of names").splitlines(), start=1):
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*(\d+)\s*:\s*(.+?)\s*", line)
        if not found:
            raise DataError(f'{path}, line {place}: "{line.strip()}" is not of the form "12: name"')
        names[int(found[1])] = found[2]
    if not names:
        raise DataError(f"{path}: an empty list of names")
    return names


class _SafeUnpickler(pickle.Unpickler):
    """Reads containers, numbers, strings and NumPy arrays, and refuses anything that could run code."""

    ALLOWED = {
        ("numpy", "ndarray"), ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module, name)


def ade_object_names(release: Path) -> list[str]:
    """The names of all objects in the index of a full ADE20K release: ``objectnames`` of index_ade20k.pkl or .mat."""
    pickled, matlab = release / "index_ade20k.pkl", release / "index_ade20k.mat"
    if pickled.is_file():
        try:
            names = _SafeUnpickler(io.BytesIO(pickled.read_bytes())).load()["objectnames"]
            return [str(name) for name in names]
        except (pickle.UnpicklingError, KeyError, TypeError, EOFError, AttributeError, IndexError) as error:
            raise DataError(f"{pickled}: not the index of ADE20K ({error})") from error
    if matlab.is_file():
        try:
            index = matlab_variable(matlab, "index", squeeze_me=True, struct_as_record=False)
            return [str(name) for name in index.objectnames]
        except (SampleError, AttributeError, TypeError) as error:
            raise DataError(f"{matlab}: not the index of ADE20K ({error})") from error
    raise DataError(f"{release}: no index_ade20k.pkl or index_ade20k.mat; is this the full ADE20K release?")


#: Names that an official file has for a class of another official list: category 397 of ``trainval_merged.json``.
_ALIASES = {"diningtable": "table"}


def plain_name(name: str) -> str:
    """Reduce a class name to its letters and digits in lower case, which all spellings of it share."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def match_names(class_names: Sequence[str], offered: Mapping[int, str], where: str) -> dict[int, int]:
    """Match class names with the numbered names of a release: the class id of each number that has one.

    Every class needs one; ``where`` names the list of the release in the error.
    """
    classes = {plain_name(name): index for index, name in enumerate(class_names)}
    found = {}
    for number, name in offered.items():
        spelled = plain_name(name)
        index = classes.get(spelled, classes.get(_ALIASES.get(spelled, "")))
        if index is not None:
            found[number] = index
    missing = [name for index, name in enumerate(class_names) if index not in set(found.values())]
    if missing:
        raise DataError(f"{where}: {len(missing)} classes have no entry there, the first is {missing[0]!r}")
    return found


def lookup_table(classes: Mapping[int, int], rest: int, size: int) -> np.ndarray:
    """Table from a release's numbers to stored labels, (size,) uint16; numbers without a class become ``rest``."""
    table = np.full(size, rest, np.uint16)
    for number, index in classes.items():
        table[number] = index
    return table


def translate(numbers: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """Apply a table; raises :class:`SampleError` when a number exceeds it."""
    if numbers.size and (numbers.min() < 0 or numbers.max() >= len(table)):
        last = len(table) - 1
        raise SampleError(path, f"holds the number {int(numbers.max())}; the release's list ends at {last}")
    return table[numbers]
