"""COCO-Object and COCO-Stuff from their official downloads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from proxyclip.data import vocab
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.prepare.annotations import painted
from proxyclip.data.prepare.label_files import Prepared, renumber_maps, write_labels
from proxyclip.data.prepare.release_index import lookup_table, match_names, numbered_names
from proxyclip.data.samples import DataError


def coco_object(instances: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Draw COCO-Object's label maps from the official instances (``instances_val2017.json``).

    Stored values: 0 for no object, 1 to 80 in the order of the class list. Overlapping instances are painted
    from the largest to the smallest; crowds are painted too.

    Parameters
    ----------
    instances : Path
    root : Path
        ``annotations/val2017/*_instanceTrainIds.png`` is written below it.
    overwrite : bool
        Overwrite files that exist already.

    Returns
    -------
    Prepared

    Raises
    ------
    DataError
        When the file is no COCO instances file, or a class of the list is none of its categories.
    """
    try:
        record = json.loads(Path(instances).read_text(encoding="utf-8"))
        images, annotations = record["images"], record["annotations"]
        categories = {entry["id"]: entry["name"] for entry in record["categories"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{instances}: not an instances file of COCO ({error})") from error
    names = vocab.load("coco_object").names
    classes = {number: k + 1 for number, k in match_names(names[1:], categories, str(instances)).items()}
    by_image: dict[int, list[dict]] = {}
    for annotation in annotations:
        by_image.setdefault(annotation["image_id"], []).append(annotation)

    def draw(image: dict) -> np.ndarray:
        return painted(by_image.get(image["id"], []), classes, image["height"], image["width"])

    layout = BENCHMARKS["coco_object"].layout
    folder = Path(root) / layout.labels
    jobs = (
        (folder / f"{Path(image['file_name']).stem}{layout.label_suffix}", lambda image=image: draw(image))
        for image in images
    )
    return write_labels(folder, jobs, overwrite, source="instances")


def coco_object_from_maps(maps: Path, names: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Renumber the official COCO-Stuff maps (``stuffthingmaps/val2017/*.png``) to COCO-Object.

    Stored values: 1 to 80 for the objects in the order of the class list, 0 for every kind of stuff, 255 for pixels
    without a label, which are not evaluated.

    The difference to :func:`coco_object`: a map has one label per pixel, so its makers have decided which of
    overlapping instances is in front, where the instances are painted by size; its stuff wins over an instance where
    they drew it so; and unlabelled pixels are ignored, where the instances leave background. Which source a published
    number used moves it, so the choice is the user's.

    Parameters
    ----------
    maps, names, root, overwrite
        As for :func:`coco_stuff`; ``annotations/val2017/*_instanceTrainIds.png`` is written.
    """
    offered = {number - 1: name for number, name in numbered_names(names).items() if number > 0}
    classes = {number: k + 1 for number, k in match_names(vocab.load("coco_object").names[1:], offered, str(names))
               .items()}
    table = lookup_table(classes, 0, 256)
    table[255] = 255
    return renumber_maps(maps, "coco_object", table, root, overwrite, source="stuffthingmaps")


def coco_stuff(maps: Path, names: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Renumber the official COCO-Stuff maps (``stuffthingmaps/val2017/*.png``) to the 171 classes that occur.

    Parameters
    ----------
    maps : Path
        Folder of the maps: values are one below the number of the list, 255 is unlabelled.
    names : Path
        The list that comes with them (``labels.txt``: "0: unlabeled", "1: person", …).
    root : Path
        ``annotations/val2017/*_labelTrainIds.png`` is written below it.
    """
    offered = {number - 1: name for number, name in numbered_names(names).items() if number > 0}
    table = lookup_table(match_names(vocab.load("coco_stuff").names, offered, str(names)), 255, 256)
    return renumber_maps(maps, "coco_stuff", table, root, overwrite, source="")
