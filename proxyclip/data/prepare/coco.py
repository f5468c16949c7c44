"""COCO-Object and COCO-Stuff from their official downloads."""

import json
from pathlib import Path

import numpy as np

from proxyclip.data import vocab
from proxyclip.data.prepare.downloads import lookup_table, match_names, numbered_names, painted, translate
from proxyclip.data.prepare.label_files import Prepared, write_labels
from proxyclip.data.samples import DataError, read_text, stored_labels
from proxyclip.system.files import files_below


def coco_object(instances: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Draw COCO-Object's label maps from the official instances (``instances_val2017.json``).

    Stored values: 0 for no object, 1 to 80 in the order of the class list. Overlapping instances are painted
    from the largest to the smallest, so that small objects in front of large ones stay visible; crowds are painted too.
    ``annotations/val2017/*_instanceTrainIds.png`` is written below ``root``. The published labels come from the pixel
    maps instead: :func:`coco_object_from_maps`.
    """
    try:
        record = json.loads(read_text(instances, "JSON file"))
        images, annotations = record["images"], record["annotations"]
        categories = {entry["id"]: entry["name"] for entry in record["categories"]}
        annotations.sort(key=lambda entry: -float(entry["area"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{instances}: not an instances file of COCO ({error})") from error
    names = vocab.load("coco_object").names
    classes = {number: k + 1 for number, k in match_names(names[1:], categories, str(instances)).items()}
    by_image: dict[int, list[dict]] = {}
    for annotation in annotations:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    by_name = {Path(image["file_name"]).stem: image for image in images}

    def draw(name: str) -> np.ndarray:
        image = by_name[name]
        return painted(by_image.get(image["id"], []), classes, image["height"], image["width"])

    return write_labels(root, "coco_object", by_name, draw, overwrite, source="instances")


def coco_object_from_maps(
    maps: Path, names: Path, root: Path, overwrite: bool = False, unlabelled: str = "background"
) -> Prepared:
    """Renumber the official COCO-Stuff maps (``stuffthingmaps/val2017/*.png``) to COCO-Object.

    Stored values: 1 to 80 for the objects in the order of the class list, 0 for every kind of stuff and, as published
    (GroupViT, SCLIP and ProxyCLIP convert the set in this way), for pixels without a label, which are up to 3.8 % of an
    image. ``unlabelled="ignored"`` leaves these out of the evaluation (255) instead of ``"background"``.

    A map has one label per pixel, so the annotators decided which of two overlapping instances is in front, whereas
    :func:`coco_object` paints by size. The arguments are those of :func:`coco_stuff`.
    """
    if unlabelled not in ("background", "ignored"):
        raise ValueError(f'unlabelled must be "background" or "ignored", got {unlabelled!r}')
    found = match_names(vocab.load("coco_object").names[1:], _stored_names(names), str(names))
    table = lookup_table({number: k + 1 for number, k in found.items()}, 0, 256)
    table[255] = 255 if unlabelled == "ignored" else 0
    return _renumber(maps, "coco_object", table, root, overwrite, f"stuffthingmaps, unlabelled pixels {unlabelled}")


def coco_stuff(maps: Path, names: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Renumber the official COCO-Stuff maps (``stuffthingmaps/val2017/*.png``) to the 171 classes that occur.

    The values of the maps are one below the numbers of the list ``names`` that comes with them (``labels.txt``: "0:
    unlabeled", "1: person", …), 255 is unlabelled. ``annotations/val2017/*_labelTrainIds.png`` is written below
    ``root``.
    """
    table = lookup_table(match_names(vocab.load("coco_stuff").names, _stored_names(names), str(names)), 255, 256)
    return _renumber(maps, "coco_stuff", table, root, overwrite)


def _stored_names(names: Path) -> dict[int, str]:
    """Name of each value in the maps: one below the number of the list, whose number 0 is unlabelled."""
    return {number - 1: name for number, name in numbered_names(names).items() if number > 0}


def _renumber(maps: Path, benchmark: str, table: np.ndarray, root: Path, overwrite: bool, source: str = "") -> Prepared:
    files = {path.stem: path for path in files_below(maps, ".png")}
    return write_labels(root, benchmark, files, lambda name: translate(stored_labels(files[name]), table, files[name]),
                        overwrite, source)
