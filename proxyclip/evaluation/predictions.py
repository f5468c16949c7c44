"""Predicted labels as files: written beside an evaluation, and anybody's scored under a protocol card."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from torch import Tensor

from proxyclip.data.base import Dataset, Sample
from proxyclip.data.content import digest_of_files
from proxyclip.data.protocol_card import card_of
from proxyclip.data.samples import DataError, SampleError, stored_labels
from proxyclip.evaluation.counting import Method, Options, count
from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.result import METHOD_VERSION, Evaluation
from proxyclip.inference.images import whole_picture
from proxyclip.system.atomic import replacing
from proxyclip.system.own_files import KEY, digest_of_json, read_own
from proxyclip.system.provenance import digest_of_method

#: Endings of files that hold labels, in the order in which they are looked for.
ENDINGS = (".png", ".tif", ".tiff", ".npy")


def folder_of_rule(name: str) -> str:
    """The folder of a rule's predictions: its name, with what a file system may not take replaced."""
    return re.sub(r"[^A-Za-z0-9.,+-]+", "_", name)


class Saving:
    """A method whose labels are also written, a 16-bit PNG for each image and name: ``<folder>/<name>/<image>.png``.

    Each file names the settings of its evaluation, so that those of another one in the same folder are replaced.
    """

    def __init__(self, method: Method, data: Dataset, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.method, self.data, self.names = method, data, method.names
        self.key = digest_of_json(settings)
        self.folders = [Path(folder) / folder_of_rule(name) for name in method.names]

    def prepare(self) -> None:
        self.method.prepare()

    def label(self, index: int, sample: Sample, geometry: Geometry) -> Iterator[np.ndarray | Tensor]:
        fields = PngImagePlugin.PngInfo()
        fields.add_text(KEY, self.key)
        for folder, labels in zip(self.folders, self.method.label(index, sample, geometry), strict=True):
            with replacing(self.path(folder, index)) as partial:
                Image.fromarray(np.asarray(labels.cpu() if isinstance(labels, Tensor) else labels).astype(np.uint16)
                                ).save(partial, pnginfo=fields)
            yield labels

    def path(self, folder: Path, index: int) -> Path:
        """The file of a sample."""
        return folder / f"{self.data.sample_id(index)}.png"

    def missing(self, skipped: Sequence[str] = ()) -> list[int]:
        """Samples whose labels are not all on the disk, whole and of these settings, without those left out."""
        def is_there(path: Path) -> bool:
            found = read_own(path, whole_picture, "its image is labelled again")
            return found is not None and found.info.get(KEY) == self.key

        return [index for index in range(len(self.data)) if self.data.sample_id(index) not in skipped
                and not all(is_there(self.path(folder, index)) for folder in self.folders)]

    def complete(self, skipped: Sequence[str], options: Options) -> None:
        """Label the images whose files are missing, because an earlier run counted them without saving labels."""
        missing = options.workers.share(self.missing(skipped))
        if missing:
            self.prepare()
        for index in missing:
            for _ in self.label(index, self.data[index], Geometry()):
                pass


class FromFiles:
    """Labels that lie in files, one folder for each name."""

    def __init__(self, data: Dataset, folders: Mapping[str, Path]) -> None:
        self.data, self.folders, self.names = data, dict(folders), list(folders)

    def prepare(self) -> None:
        """Raise :class:`DataError` at once if a file is missing."""
        for folder in self.folders.values():
            if not folder.is_dir():
                raise DataError(f"{folder}: no such folder of predictions")
            missing = [index for index in range(len(self.data)) if not self.path(folder, index).is_file()]
            if missing:
                raise DataError(f"{folder}: {len(missing)} of {len(self.data)} predictions are missing, the first is "
                                f"{self.data.sample_id(missing[0])}{ENDINGS[0]} (or {', '.join(ENDINGS[1:])})")

    def label(self, index: int, sample: Sample, geometry: Geometry) -> Iterator[np.ndarray]:
        classes = len(self.data.vocabulary)
        for folder in self.folders.values():
            path = self.path(folder, index)
            labels = stored_labels(path).astype(np.int64)
            if labels.shape != sample.labels.shape:
                sizes = [f"{width} x {height}" for height, width in (labels.shape, sample.labels.shape)]
                raise SampleError(path, f"{sizes[0]} pixels, but the labels of {sample.id} have {sizes[1]}")
            if labels.min() < 0 or labels.max() >= classes:
                raise SampleError(path, f"holds {labels.min()} to {labels.max()}; class ids are 0 to {classes - 1}")
            yield labels

    def path(self, folder: Path, index: int) -> Path:
        """The file of a sample; the first of the endings where there is none."""
        name = self.data.sample_id(index)
        paths = [folder / f"{name}{ending}" for ending in ENDINGS]
        return next((path for path in paths if path.is_file()), paths[0])


def score(predictions: Mapping[str, str | Path], data: Dataset, limit: int | None = None, **options: Any) -> Evaluation:
    """Score predictions that lie in files.

    The card of the set says how it is to be evaluated. Of a method that is not run here, only the labels, the classes
    and the metric are known to follow it, and a note in the result says so. ``predictions`` are folders by name, each
    with one file a sample, ``<id>.png`` (8 or 16 bits, or a palette), ``.tif`` or ``.npy``: class ids from 0, at the
    size of the labels. Options are those of :class:`proxyclip.evaluation.counting.Options`. Raises :class:`DataError`
    when a prediction is missing, cannot be read, has another size or holds no class.
    """
    chosen, start = Options(**options), time.perf_counter()
    data = data.first(limit)
    method = FromFiles(data, {name: Path(folder) for name, folder in predictions.items()})
    method.prepare()
    files = {name: digest_of_files([method.path(folder, index) for index in range(len(data))], folder)
             for name, folder in method.folders.items()}
    settings = {"method": METHOD_VERSION, "code": digest_of_method(), "predictions": files,
                "dataset": data.signature(), "card": card_of(data).reference(), "rules": method.names,
                "images": len(data), "on_error": chosen.on_error}
    total = count(method, data, settings, chosen)
    found = Evaluation.of(method.names, data, total, settings, time.perf_counter() - start)
    found.notes.append("the labels come from files: resizing, windows, prompts and thresholds of the card are not "
                       "known to be those of the method")
    return found
