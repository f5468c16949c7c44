"""Write label files: each one completely or not at all, and never from two sources into one folder."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.samples import DataError, source_marker, source_of
from proxyclip.system.atomic import replacing, write_text
from proxyclip.system.files import files_below


@dataclass(frozen=True)
class Prepared:
    """What a preparation has done."""

    folder: Path  #: Where the label files are.
    #: Label files written now, and label files that existed already.
    written: int
    kept: int
    note: str = ""  #: What else the user should know.


#: Source of label files that this package did not make, or not all from one source.
OTHER = "another source"


def write_labels(
    root: Path, benchmark: str, names: Iterable[str], make: Callable[[str], np.ndarray], overwrite: bool,
    source: str = "",
) -> Prepared:
    """Write the label files of a benchmark that do not exist yet (or all: ``overwrite``), in its layout below ``root``.

    ``make`` gives the labels of each id in ``names``, (H, W) integer. ``source`` says in words what they are made from:
    labels of two sources are never mixed in a folder, and the protocol card names the source (:func:`source_of`).
    """
    layout = BENCHMARKS[benchmark].layout
    folder = Path(root) / layout.labels
    if source:  # of other sets, whose files may lie in the same folder, there is one conversion only
        earlier = source_of(folder) or (OTHER if files_below(folder, layout.label_suffix) else source)
        if earlier != source and not overwrite:
            raise DataError(f"{folder}: holds labels made from {earlier}; to make them from {source}, overwrite them "
                            "(--overwrite)")
        write_text(source_marker(folder), (source if earlier == source else OTHER) + "\n")  # until all are replaced
    written = kept = 0
    for name in names:
        path = folder / f"{name}{layout.label_suffix}"
        if path.exists() and not overwrite:
            kept += 1
            continue
        labels = make(name).astype(np.uint16 if path.suffix == ".tif" else np.uint8)
        with replacing(path) as partial:
            Image.fromarray(labels).save(partial)
        written += 1
    if written + kept == 0:
        raise DataError(f"{folder}: nothing to prepare, the download holds no file for it")
    if source:
        write_text(source_marker(folder), source + "\n")
    return Prepared(folder, written, kept)
