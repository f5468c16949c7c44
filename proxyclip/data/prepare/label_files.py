"""Write label files: each one completely or not at all, labels of two sources never in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.prepare.annotations import stored_map
from proxyclip.data.prepare.release_index import translate
from proxyclip.data.samples import DataError
from proxyclip.system.atomic import replacing, write_text


@dataclass(frozen=True)
class Prepared:
    """What a preparation has done.

    Attributes
    ----------
    folder : Path
        Where the label files are.
    written, kept : int
        Label files written now, and found there already.
    note : str
        What the user should know beside that.
    """

    folder: Path
    written: int
    kept: int
    note: str = ""


def _write(path: Path, labels: np.ndarray) -> None:
    kind = np.uint16 if path.suffix == ".tif" else np.uint8
    with replacing(path) as partial:
        Image.fromarray(labels.astype(kind)).save(partial)


def write_labels(
    folder: Path, jobs: Iterable[tuple[Path, Callable[[], np.ndarray]]], overwrite: bool, source: str = ""
) -> Prepared:
    """Write each label file that is not there yet; labels of two sources are never mixed in a folder."""
    marker = folder.parent / f"{folder.name}_source.txt"
    if source and not overwrite and marker.is_file() and marker.read_text(encoding="utf-8").strip() != source:
        raise DataError(f"{folder}: holds labels made from {marker.read_text(encoding='utf-8').strip()}; to make them "
                        f"from {source}, overwrite them (--overwrite)")
    written = kept = 0
    for path, make in jobs:
        if path.exists() and not overwrite:
            kept += 1
            continue
        _write(path, make())
        written += 1
    if written + kept == 0:
        raise DataError(f"{folder}: nothing to prepare, the download holds no file for it")
    if source:
        write_text(marker, source + "\n")
    return Prepared(folder, written, kept)


def renumber_maps(maps: Path, benchmark: str, table: np.ndarray, root: Path, overwrite: bool, source: str) -> Prepared:
    layout = BENCHMARKS[benchmark].layout
    folder = Path(root) / layout.labels
    jobs = (
        (folder / f"{path.stem}{layout.label_suffix}", lambda path=path: translate(stored_map(path), table, path))
        for path in sorted(Path(maps).glob("*.png"))
    )
    return write_labels(folder, jobs, overwrite, source)
