"""ADE847 from the full ADE20K release."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from proxyclip.data import vocab
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.prepare.label_files import Prepared, write_labels
from proxyclip.data.prepare.release_index import ade_object_names, lookup_table, match_names, translate
from proxyclip.data.samples import SampleError, load_picture
from proxyclip.system.atomic import replacing


def ade847(release: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Renumber the colour-coded maps of the full ADE20K release to ADE847, and copy the images.

    The red and green channels of a map hold the number of the object, ``red // 10 * 256 + green``, counted from 1 in
    the list of names in the release's index. The 847 classes are found in it by their names; two entries of the same
    name are the same class. Everything else becomes 65535.

    Parameters
    ----------
    release : Path
        The unpacked release: ``index_ade20k.pkl`` (or ``.mat``), and ``ADE_val_*_seg.png`` somewhere below.
    root : Path
        ``annotations_detectron2/validation/*.tif`` and ``images_detectron2/validation/*.jpg`` are written
        below it.
    """
    objects = ade_object_names(Path(release))
    numbers = {number: name for number, name in enumerate(objects, start=1)}
    classes = match_names(vocab.load("ade847").names, numbers, f"the index of {release}")
    table = lookup_table(classes, 65535, len(objects) + 1)
    layout = BENCHMARKS["ade847"].layout
    maps = {path.name.removesuffix("_seg.png"): path for path in sorted(Path(release).rglob("ADE_val_*_seg.png"))}

    def read(name: str) -> np.ndarray:
        path = maps[name]
        image, target = path.with_name(f"{name}.jpg"), Path(root) / layout.images / f"{name}{layout.image_suffix}"
        if overwrite or not target.exists():
            if not image.exists():
                raise SampleError(image, f"missing, though {path.name} exists")
            with replacing(target) as partial:
                shutil.copyfile(image, partial)
        colours = np.asarray(load_picture(path).convert("RGB")).astype(np.int64)
        return translate(colours[..., 0] // 10 * 256 + colours[..., 1], table, path)

    return write_labels(root, "ade847", maps, read, overwrite)
