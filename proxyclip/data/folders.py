"""Your own data: a folder of images, a folder of label files and a class list become a set like the benchmarks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal

import yaml
from PIL import Image

from proxyclip.data import vocab
from proxyclip.data.base import Dataset, Protocol
from proxyclip.data.benchmark_files import BenchmarkDataset
from proxyclip.data.benchmarks import Benchmark, Layout, benchmark_row
from proxyclip.data.samples import DataError, SampleError, has_rotation, read_text
from proxyclip.inference.labels import check_threshold
from proxyclip.system.files import files_below, is_file
from proxyclip.text import Vocabulary

LABEL_ENDINGS = (".png", ".tif", ".tiff", ".npy", ".bmp", ".gif")

#: Group of entry points under which an installed package offers sets: name -> callable that returns a ``Dataset``.
ENTRY_POINTS = "proxyclip.datasets"

#: Files of a set that is opened by the name of its folder.
CLASSES, SETTINGS = "classes.txt", "dataset.yaml"


class FolderDataset(BenchmarkDataset):
    """A set of the user's own; built by :func:`folder_dataset`."""

    def __init__(
        self, benchmark: Benchmark, root: Path, vocabulary: Vocabulary, left_open: frozenset[str] = frozenset()
    ) -> None:
        self.benchmark, self.root = benchmark, root
        self.name, self.protocol, self.vocabulary = benchmark.name, benchmark.protocol, vocabulary
        self._left_open, self._as_opened = left_open, benchmark.protocol
        Image.init()  # the endings that Pillow reads
        layout = benchmark.layout
        self._images = _by_stem(root / layout.images, tuple(Image.registered_extensions()), "images")
        self._labels = _by_stem(root / layout.labels, LABEL_ENDINGS, "label files")
        self._ids = sorted({**self._images, **self._labels})
        if not self._images.keys() & self._labels.keys():
            image, labels = min(self._images.values()), min(self._labels.values())
            raise DataError(f"{benchmark.name}: no image has a label file of the same name; there are {image} and "
                            f"{labels}, which differ in more than their endings")

    def paths(self, index: int) -> tuple[Path, Path]:
        layout, name = self.benchmark.layout, self._ids[index]
        return (self._images.get(name, self.root / layout.images / name),
                self._labels.get(name, self.root / layout.labels / name))

    def problems(self) -> dict[int, SampleError]:
        found = {}
        for index, name in enumerate(self._ids):
            image, labels = self.paths(index)
            if name not in self._images:
                found[index] = SampleError(labels, f"has no image; there is no {image} with the ending of an image")
            elif name not in self._labels:
                endings = ", ".join(ending[1:] for ending in LABEL_ENDINGS)
                found[index] = SampleError(image, f"has no labels; there is no {labels} that ends in {endings}")
        return found

    def notes(self) -> list[str]:
        turned = [path for path in self._images.values() if has_rotation(path)]
        return [f"{self.name}: the EXIF data of {len(turned)} images ask a viewer to rotate them, such as {turned[0]}; "
                "images and labels are read as stored"] if turned else []

    def with_windows(self, window: int, stride: int, short_side: int | None) -> Dataset:
        own = {"window": window, "stride": stride, "short_side": short_side}
        changes: dict[str, Any] = {name: value for name, value in own.items() if name in self._left_open}
        if not changes or self.protocol != self._as_opened:
            return self
        protocol = replace(self.protocol, **changes)
        return FolderDataset(replace(self.benchmark, protocol=protocol), self.root, self.vocabulary)


def _by_stem(folder: Path, endings: Sequence[str], what: str) -> dict[str, Path]:
    """Files below a folder by their paths without endings."""
    found: dict[str, Path] = {}
    for path in files_below(folder, ""):
        if path.suffix.lower() in endings:
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise DataError(f"{path} and {found[name].name} have the same name but for their endings; keep one")
            found[name] = path
    if not found:
        raise DataError(f"{folder}: {'no such folder' if not folder.is_dir() else f'holds no {what}'}; name the folder "
                        f"of the {what}")
    return found


def folder_dataset(
    images: str | Path,
    labels: str | Path,
    classes: str | Path | Sequence[str] | Vocabulary,
    *,
    name: str = "own",
    ignored: int = 255,
    zero_ignored: bool = False,
    background: str | None = None,
    window: int | None = None,
    stride: int | None = None,
    short_side: int | None | Literal["default"] = "default",
    prob_threshold: float | None = None,
) -> FolderDataset:
    """Open your own images and label files as a set that can be evaluated like a benchmark.

    An image and its label file have the same name but for their endings, in subfolders too. Images may be of every kind
    that Pillow reads. Label files hold one whole number a pixel: PNG (8 or 16 bits, or a palette), TIFF, or a NumPy
    array (H, W).

    Parameters
    ----------
    images, labels : path
        Folders.
    classes : path, list of str or Vocabulary
        One class a line, in the order of the values in the label files, its queries separated by "; ".
    name : str
        Name of the set in results.
    ignored : int
        Stored value of pixels that are not evaluated.
    zero_ignored : bool
        Whether 0 is not evaluated either, and 1 is the first class.
    background : str, optional
        Words that stand for everything else, separated by "; ": they become class 0, ``background``, and the first
        class of the list is the value 1.
    window, stride, short_side : optional
        As for :func:`proxyclip.load`; by default those of the model that is evaluated.
    prob_threshold : float, optional
        Below this probability a pixel belongs to class 0.

    Raises
    ------
    DataError, ValueError
        When a folder or the class list cannot be used, or an option is not allowed.

    Examples
    --------
    >>> import proxyclip as pc
    >>> pc.folder_dataset("photos", "masks", ["sky; cloud", "grass"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    proxyclip.data.samples.DataError: ...photos: no such folder; name the folder of the images
    """
    if benchmark_row(name) is not None or name.startswith("tiny/"):
        raise ValueError(f"name must not be that of a benchmark, got {name!r}")
    check_threshold(prob_threshold)
    vocabulary = vocab.read(classes) if isinstance(classes, str | Path) else Vocabulary.parse(classes)
    if background is not None:
        if zero_ignored:
            raise ValueError("background and zero_ignored exclude each other: 0 is a class, or it is not evaluated")
        words = Vocabulary.parse([background]).queries  # they may also be the names of classes
        checked = Vocabulary.parse(["background", *vocabulary.plain()])
        owners = (*[0] * len(words), *checked.class_of_query[1:])
        vocabulary = Vocabulary(checked.names, (*words, *checked.queries[1:]), owners)
    if zero_ignored <= ignored < len(vocabulary) + zero_ignored:
        word = vocabulary.names[ignored - zero_ignored]
        raise ValueError(f"ignored must be a value that is no class, got {ignored}, which is the class {word!r}")
    given = {"window": window, "stride": stride, "short_side": None if short_side == "default" else 0}
    protocol = Protocol(336 if short_side == "default" else short_side, window or 336, stride or 112, prob_threshold)
    places = [os.path.abspath(folder) for folder in (images, labels)]
    root = os.path.commonpath(places)
    layout = Layout(os.path.relpath(places[0], root), "", os.path.relpath(places[1], root), "")
    row = Benchmark(name, protocol, layout, ignored, zero_ignored, (), (), str(images), str(labels))
    return FolderDataset(row, Path(root), vocabulary, frozenset(key for key, value in given.items() if value is None))


def find(name: str, root: str | Path | None) -> Dataset | None:
    """Open a set that an installed package offers, or a folder ``root/name`` with images, labels and classes.txt.

    A file ``dataset.yaml`` beside them may hold options of :func:`folder_dataset`, such as ``ignored: 0``. None where
    there is neither.
    """
    for point in entry_points(group=ENTRY_POINTS, name=name):
        found = point.load()(**({} if root is None else {"root": root}))
        if not isinstance(found, Dataset):
            raise DataError(f"{name}: the entry point {point.value} gives no data set, but {type(found).__name__}")
        return found
    folder = None if root is None else Path(root) / name
    if folder is None or not is_file(folder / CLASSES):
        return None
    settings = folder / SETTINGS
    try:
        options = yaml.safe_load(read_text(settings, "list of settings")) if is_file(settings) else None
        return folder_dataset(folder / "images", folder / "labels", folder / CLASSES, name=name, **(options or {}))
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        allowed = "ignored, zero_ignored, background, window, stride, short_side, prob_threshold"
        raise DataError(f"{settings}: {' '.join(str(error).split())}; allowed are lines such as "
                        f'"ignored: 0" with {allowed}') from None
