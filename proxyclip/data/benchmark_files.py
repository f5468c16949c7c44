"""The benchmarks on disk: where their files are, and which samples belong to them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from proxyclip.data import vocab
from proxyclip.data.base import Dataset, Sample
from proxyclip.data.benchmarks import Benchmark
from proxyclip.data.content import digest_of_files
from proxyclip.data.samples import (
    DataError,
    SampleError,
    has_rotation,
    listed_names,
    read_labels,
    read_sample_image,
    source_of,
)
from proxyclip.system.files import files_below, is_file
from proxyclip.text import Vocabulary


class BenchmarkDataset(Dataset):
    """A benchmark on disk below ``root``; another ``vocabulary`` needs as many classes as the benchmark's own."""

    def __init__(self, benchmark: Benchmark, root: Path, vocabulary: Vocabulary | None = None) -> None:
        self.benchmark, self.root = benchmark, root
        self.name, self.protocol = benchmark.name, benchmark.protocol
        self.counts_void = benchmark.counted_void is not None
        self.vocabulary = vocabulary or vocab.load(benchmark.vocabulary)
        vocab.check_count(self.vocabulary, benchmark.classes, f"the vocabulary given for {benchmark.name}")
        self.made_from = source_of(root / benchmark.layout.labels) if benchmark.made_from else ""
        self._ids = list_ids(benchmark, root)

    def __len__(self) -> int:
        return len(self._ids)

    def sample_id(self, index: int) -> str:
        return self._ids[index]

    def paths(self, index: int) -> tuple[Path, Path]:
        """Return the image file and the label file of a sample."""
        layout, name = self.benchmark.layout, self._ids[index]
        return (self.root / layout.images / f"{name}{layout.image_suffix}",
                self.root / layout.labels / f"{name}{layout.label_suffix}")

    def __getitem__(self, index: int) -> Sample:
        image_path, label_path = self.paths(index)
        image = read_sample_image(image_path)
        row, classes = self.benchmark, len(self.vocabulary)
        labels = read_labels(label_path, classes, row.ignored, row.zero_ignored, row.counted_void)
        if labels.shape != (image.height, image.width):
            height, width = labels.shape
            rotated = has_rotation(image_path) and labels.shape == (image.width, image.height)
            why = ", which its EXIF data ask to rotate for viewing; images and labels are read as stored"
            raise SampleError(label_path, f"{width} x {height} pixels, but its image {image_path} has {image.width} x "
                                          f"{image.height}{why if rotated else ''}")
        return Sample(self._ids[index], image, labels)

    def problems(self) -> dict[int, SampleError]:
        layout = self.benchmark.layout
        found: dict[int, SampleError] = {}
        for index, name in enumerate(self._ids):
            image_path, label_path = self.paths(index)
            if not is_file(image_path):
                found[index] = SampleError(image_path, self._why_missing(name))
            elif not is_file(label_path):
                found[index] = SampleError(label_path, f"missing, though {layout.images} has its image")
        return found

    def _why_missing(self, name: str) -> str:
        layout = self.benchmark.layout
        if layout.listed_by == "labels":
            return f"missing, though {layout.labels} has its labels"
        split = self.root / str(layout.split)
        if name == self._ids[-1] and any((self.root / layout.images).glob(f"{name}*{layout.image_suffix}")):
            return f'missing: {split} ends in the middle of a name ("{name}"), the list is truncated'
        line = next((number for number, listed in listed_names(split) if listed.startswith(name)), 0)
        return f"missing, though line {line} of {split} lists it"

    def with_labels(self, folder: Path) -> BenchmarkDataset:
        """The same images with the label files of another folder, in the same layout."""
        layout = replace(self.benchmark.layout, labels=str(folder.absolute()))
        return type(self)(replace(self.benchmark, layout=layout), self.root, self.vocabulary)

    def notes(self) -> list[str]:
        complete = self.benchmark.images
        if len(self) in complete:
            return []
        return [f"{self.name}: {len(self)} images under {self.root}, the complete set has {complete[0]}"]

    def signature(self) -> dict[str, object]:
        files = [path for index in range(len(self)) for path in self.paths(index)]
        return {"name": self.name, "images": len(self), "files": digest_of_files(files, self.root)}


def list_ids(benchmark: Benchmark, root: Path) -> list[str]:
    """The ids of a benchmark's samples in a fixed order: the split's own, or sorted; none twice."""
    layout = benchmark.layout
    if layout.listed_by == "split":
        where = root / str(layout.split)
        ids = _split_ids(benchmark, root, where)
    else:
        by_images = layout.listed_by == "images"
        where = root / (layout.images if by_images else layout.labels)
        suffix = layout.image_suffix if by_images else layout.label_suffix
        ids = [path.relative_to(where).as_posix().removesuffix(suffix) for path in files_below(where, suffix)]
    if not ids:
        raise DataError(f"{where}: empty, the complete {benchmark.name} has {benchmark.images[0]} images")
    if len(set(ids)) < len(ids):
        twice = next(name for position, name in enumerate(ids) if name in ids[:position])
        raise DataError(f"{where}: lists {twice} twice")
    return ids


def _split_ids(benchmark: Benchmark, root: Path, split: Path) -> list[str]:
    """Names of a split file; of several columns the first, unless the images have spaces in their names."""
    layout, names = benchmark.layout, [line for _, line in listed_names(split)]
    spaced = next((name for name in names if name.split() != [name]), None)
    if spaced is None or is_file(root / layout.images / f"{spaced}{layout.image_suffix}"):
        return names
    return [name.split()[0] for name in names]


def locate(benchmark: Benchmark, root: str | Path | None) -> Path:
    """The folder that holds a benchmark: ``root`` (or PROXYCLIP_DATA) itself or one of the usual places below it."""
    root = root or os.environ.get("PROXYCLIP_DATA")
    if not root:
        raise DataError(f"{benchmark.name}: no data; give root=FOLDER (--data) or set PROXYCLIP_DATA")
    layout = benchmark.layout
    places = [Path(root), *(Path(root) / place for place in (benchmark.vocabulary, *benchmark.places))]
    for folders in ((layout.images, layout.labels), (layout.labels,), (layout.images,)):
        for place in places:
            if all((place / folder).is_dir() for folder in folders):
                return place
    if (nearby := _other_level(benchmark, Path(root))) is not None:
        raise DataError(f"{benchmark.name}: no {layout.images} or {layout.labels} in {root}, but in {nearby}; "
                        "name that folder")
    places = list(dict.fromkeys(places))
    raise DataError(f"{benchmark.name}: no {layout.images} or {layout.labels} in {', '.join(map(str, places))}; "
                    f"images: {benchmark.image_source}; labels: {benchmark.label_source}")


def _other_level(benchmark: Benchmark, root: Path) -> Path | None:
    """The folder that holds the layout, up to three levels above or two levels below the folder that was named."""
    folders = (benchmark.layout.images, benchmark.layout.labels)
    above = [root.absolute().parents[level] for level in range(min(3, len(root.absolute().parents)))]
    below = sorted([*root.glob("*/"), *root.glob("*/*/")]) if root.is_dir() else []
    places = (folder / usual for folder in (*above, *below) for usual in (".", benchmark.name, *benchmark.places))
    return next((place for place in places if all((place / name).is_dir() for name in folders)), None)
