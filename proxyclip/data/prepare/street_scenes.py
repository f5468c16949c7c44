"""Cityscapes from its official annotations."""

from pathlib import Path

import numpy as np

from proxyclip.data.prepare.downloads import cityscapes_polygons, lookup_table, translate
from proxyclip.data.prepare.label_files import Prepared, write_labels
from proxyclip.data.samples import DataError, stored_labels
from proxyclip.system.files import files_below

#: Stored value of what is not evaluated.
VOID = 255

#: All labels of Cityscapes in the order of their ids, which run from 0.
_LABELS = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus",
    "caravan", "trailer", "train", "motorcycle", "bicycle",
)
_EVALUATED = {7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33}

#: Id and train id of each of the 35 labels, by the official definition; only the license plate has a negative id.
CITYSCAPES_LABELS: dict[str, tuple[int, int]] = {
    name: (number, sorted(_EVALUATED).index(number) if number in _EVALUATED else VOID)
    for number, name in enumerate(_LABELS)
} | {"license plate": (-1, -1)}


def cityscapes(annotations: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Make the train ids of Cityscapes' validation images from its official annotations.

    Stored values: 0 to 18 in the order of the class list, 255 for everything else. ``annotations`` is ``gtFine`` of the
    official archive, or a folder that holds it: ``val/CITY/*_gtFine_labelIds.png``, or ``*_gtFine_polygons.json`` where
    there is no such map. ``gtFine/val/CITY/*_gtFine_labelTrainIds.png`` is written below ``root``.
    """
    places = (Path(annotations) / "val", Path(annotations) / "gtFine" / "val")
    source = next((place for place in places if place.is_dir()), None)
    if source is None:
        raise DataError(f"{annotations}: no val or gtFine/val in it; name the gtFine of gtFine_trainvaltest.zip")
    drawn = {number: train_id for number, train_id in CITYSCAPES_LABELS.values() if number >= 0}
    table = lookup_table(drawn, VOID, 256)

    def read(stem: str) -> np.ndarray:
        stored = source / f"{stem}_gtFine_labelIds.png"
        if stored.exists():
            return translate(stored_labels(stored), table, stored)
        return cityscapes_polygons(source / f"{stem}_gtFine_polygons.json", CITYSCAPES_LABELS, VOID)

    files = [path for ending in ("labelIds.png", "polygons.json") for path in files_below(source, f"_gtFine_{ending}")]
    stems = {path.relative_to(source).as_posix().rpartition("_gtFine_")[0] for path in files}
    return write_labels(root, "cityscapes", sorted(stems), read, overwrite)
