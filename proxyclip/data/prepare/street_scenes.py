"""Cityscapes from its official annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from proxyclip.data import vocab
from proxyclip.data.prepare.annotations import cityscapes_polygons
from proxyclip.data.prepare.label_files import Prepared, write_labels
from proxyclip.data.prepare.release_index import lookup_table, match_names, translate
from proxyclip.data.samples import DataError, stored_labels

#: Number of each evaluated class in the ``labelIds`` of Cityscapes, by the official definition of its labels.
CITYSCAPES_NUMBERS = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip


def cityscapes(annotations: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Make the train ids of Cityscapes' validation images from its official annotations.

    Stored values: 0 to 18 in the order of the class list, 255 for everything else.

    Parameters
    ----------
    annotations : Path
        ``gtFine`` of the official archive, or a folder that holds it: ``val/CITY/*_gtFine_labelIds.png``, or
        ``*_gtFine_polygons.json`` where there is no such map.
    root : Path
        ``gtFine/val/CITY/*_gtFine_labelTrainIds.png`` is written below it.
    """
    places = (Path(annotations) / "val", Path(annotations) / "gtFine" / "val")
    source = next((place for place in places if place.is_dir()), None)
    if source is None:
        raise DataError(f"{annotations}: no val or gtFine/val in it; name the gtFine of gtFine_trainvaltest.zip")
    numbers = {number: name for name, number in CITYSCAPES_NUMBERS.items()}
    classes = match_names(vocab.load("cityscapes").names, numbers, "the labels of Cityscapes")
    by_name = {numbers[number]: index for number, index in classes.items()}
    table = lookup_table(classes, 255, 256)

    def read(stem: str) -> np.ndarray:
        stored = source / f"{stem}_gtFine_labelIds.png"
        if stored.exists():
            return translate(stored_labels(stored), table, stored)
        return cityscapes_polygons(source / f"{stem}_gtFine_polygons.json", by_name, 255)

    files = [path for ending in ("labelIds.png", "polygons.json") for path in source.rglob(f"*_gtFine_{ending}")]
    stems = {path.relative_to(source).as_posix().rpartition("_gtFine_")[0] for path in files}
    return write_labels(root, "cityscapes", sorted(stems), read, overwrite)
