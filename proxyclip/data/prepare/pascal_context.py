"""Context-59, Context-60 and PC459 from PASCAL Context's official downloads."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from proxyclip.data import vocab
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.prepare.downloads import (
    lookup_table,
    match_names,
    matlab_map,
    merged_context,
    numbered_names,
    painted,
    translate,
)
from proxyclip.data.prepare.label_files import Prepared, write_labels
from proxyclip.data.samples import DataError, listed_names
from proxyclip.system.atomic import write_text
from proxyclip.system.files import files_below

#: The list of the validation images, below the root.
SPLIT = str(BENCHMARKS["context60"].layout.split)


def context(maps: Path, names: Path | None, root: Path, split: Path | None = None, overwrite: bool = False) -> Prepared:
    """Renumber PASCAL Context's official labels to Context-60, which Context-59 reads too.

    Stored values: 1 to 59 for the classes, 0 for everything else. ``maps`` is a folder of ``.mat`` files
    (``trainval/*.mat``), each with a ``LabelMap`` of numbers of the list ``names`` that comes with them
    (``labels.txt``: "1: accordion", …, 459 entries); or the file ``trainval_merged.json``, which holds the same regions
    as run lengths with their own names, the one listed last in front.

    ``SegmentationClassContext/*.png`` is written below ``root``, and ``ImageSets/SegmentationContext/val.txt`` unless
    it exists. ``split`` lists the validation ids, by default the first of these that exists: the layout's own list
    below ``root``, the phase ``val`` of the JSON file, VOC 2010's ``ImageSets/Main/val.txt`` (PASCAL Context has the
    same validation images), all maps.
    """
    images = None
    if Path(maps).is_file():
        offered, images = merged_context(maps)
    elif names is None:
        raise DataError(f"{maps}: the .mat files need the list of names that comes with them (--names labels.txt)")
    else:
        offered = numbered_names(names)
    found = match_names(vocab.load("context60").names[1:], offered, str(names if images is None else maps))
    classes = {number: k + 1 for number, k in found.items()}
    ids, note = _context_ids(maps, images, Path(root), split)
    if images is None:
        make = _from_mat(maps, lookup_table(classes, 0, max(offered) + 1))
    else:
        if unknown := [name for name in ids if name not in images]:
            raise DataError(f"{maps}: has no image {unknown[0]}, though the list of images names it")

        def make(name: str) -> np.ndarray:
            image = images[name]
            return painted(image["annotations"], classes, image["height"], image["width"])

    done = write_labels(root, "context60", ids, make, overwrite)
    own = Path(root) / SPLIT
    if not own.exists():
        write_text(own, "".join(f"{name}\n" for name in ids))
    return replace(done, note=note)


def _context_ids(
    maps: Path, images: dict[str, dict[str, Any]] | None, root: Path, split: Path | None
) -> tuple[list[str], str]:
    """Validation ids, and a note for the user where they had to be guessed."""
    own, voc = root / SPLIT, root / "ImageSets" / "Main" / "val.txt"
    if split or own.exists():
        return _listed(split or own), ""
    if images is not None:
        return sorted(name for name, image in images.items() if image["phase"] == "val"), ""
    ids = [path.stem for path in files_below(maps, ".mat")]
    if voc.exists():
        listed = set(_listed(voc))
        return [name for name in ids if name in listed], ""
    return ids, f"all {len(ids)} maps count as validation images, since there is no {voc}; --split FILE names them"


def _listed(path: Path) -> list[str]:
    """The first word of each line."""
    return [line.split()[0] for _, line in listed_names(path)]


def pc459(maps: Path, names: Path, root: Path, split: Path, overwrite: bool = False) -> Prepared:
    """Renumber PASCAL Context's official maps to PC459: 0 to 458 in the order of the class list, else 65535.

    The arguments are those of :func:`context`; ``annotations_detectron2/pc459_val/*.tif`` is written.
    """
    numbers = numbered_names(names)
    table = lookup_table(match_names(vocab.load("pc459").names, numbers, str(names)), 65535, max(numbers) + 1)
    return write_labels(root, "pc459", _listed(split), _from_mat(maps, table), overwrite)


def _from_mat(maps: Path, table: np.ndarray) -> Callable[[str], np.ndarray]:
    def read(name: str) -> np.ndarray:
        path = Path(maps) / f"{name}.mat"
        return translate(matlab_map(path), table, path)

    return read
