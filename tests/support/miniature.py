"""Miniature copies of the benchmarks, in exactly their layouts: 8 bits, 16-bit TIFF, palette PNG."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data.benchmarks import BENCHMARKS

NAMES = ["a_0001", "a_0002", "b_0003"]
CITIES = ["lindau/lindau_000000_000019", "munster/munster_000000_000019", "munster/munster_000001_000019"]
#: Height and width: neither square nor a multiple of a patch.
SIZE = (44, 58)


def stored_values(name: str) -> tuple[list[int], int]:
    """Label values that may be stored for a set, and the one that is ignored."""
    row = BENCHMARKS[name]
    return list(range(row.classes + row.zero_ignored)), row.ignored


def write_tree(name: str, root: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Write three images with random labels of every allowed value, and return the root."""
    rng = np.random.default_rng(seed)
    row = BENCHMARKS[name]
    layout = row.layout
    values, ignored = stored_values(name)
    ids = CITIES if name == "cityscapes" else NAMES
    for sample in ids:
        write_image(root / layout.images / f"{sample}{layout.image_suffix}", rng, size)
        blocks = rng.choice([*values, ignored], size=(size[0] // 4, size[1] // 2))
        labels = np.kron(blocks, np.ones((4, 2), int))
        write_labels(root / layout.labels / f"{sample}{layout.label_suffix}", labels, palette="voc" in name)
    if layout.split:
        split = root / layout.split
        split.parent.mkdir(parents=True, exist_ok=True)
        split.write_text("".join(f"{sample}\n" for sample in ids))
        # An image of the training set, which the split does not name.
        write_image(root / layout.images / f"train_0001{layout.image_suffix}", rng)
    return root


def write_names(path: Path, words: Iterable[str], first: int = 1) -> Path:
    """Write a list of numbered names as it comes with an official download, and return its path."""
    path.write_text("".join(f"{number}: {word}\n" for number, word in enumerate(words, start=first)))
    return path


def write_image(path: Path, rng: np.random.Generator, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(path)


def write_labels(path: Path, labels: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(labels.astype(np.uint16 if path.suffix == ".tif" else np.uint8))
    if palette:
        picture.putpalette([level for index in range(256) for level in (index, 255 - index, 128)])
    picture.save(path)
