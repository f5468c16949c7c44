"""The result of segmenting an image: labels, with the words and the image that they belong to."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.inference.legend import with_legend
from proxyclip.inference.saving import Destination
from proxyclip.text import Vocabulary

#: Pixels that are coloured at a time.
MIXED_PIXELS = 2**20


@dataclass(frozen=True)
class Segmentation:
    """Labels of one image."""

    labels: np.ndarray  #: (H, W) int64: class ids, at the image's own size.
    vocabulary: Vocabulary
    image: np.ndarray  #: (H, W, 3) uint8

    def shares(self) -> dict[str, float]:
        """Fraction of the pixels of each class that occurs, largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.vocabulary)) / self.labels.size
        order = np.argsort(-counts, kind="stable")
        return {self.vocabulary.names[i]: float(counts[i]) for i in order if counts[i] > 0}

    def overlay(self, opacity: float = 0.55) -> Image.Image:
        """The image with its classes in colour, of an ``opacity`` in [0, 1], and a legend below."""
        colours = class_colours(len(self.vocabulary))
        mixed = np.empty_like(self.image)
        for rows in np.array_split(np.arange(len(mixed)), -(-self.labels.size // MIXED_PIXELS)):
            part = slice(rows[0], rows[-1] + 1)
            mixed[part] = (self.image[part] * (1 - opacity) + colours[self.labels[part]] * opacity).round()
        picture = Image.fromarray(mixed)
        return with_legend(picture, [(name, colours[self.vocabulary.names.index(name)]) for name in self.shares()])

    def save(self, path: str | PathLike[str], force: bool = False, notes: Mapping[str, str] | None = None) -> Path:
        """Write the overlay; ``*_labels.png`` beside it holds the class ids (8 or 16 bit). Both are written, or none.

        Parameters
        ----------
        path : path
            Its ending names the format: PNG, JPEG, WebP, TIFF or BMP.
        force : bool
            Replace a file ``*_labels.png`` that this package did not write.
        notes : mapping of str to str, optional
            Text fields of the label file.

        Raises
        ------
        ValueError
            If the path or its format does not allow it, or a file would be lost.
        """
        kind = np.uint8 if len(self.vocabulary) <= 256 else np.uint16
        labels = Image.fromarray(self.labels.astype(kind))
        Destination.checked(path, force).write(self.overlay(), labels, notes)
        return Path(path)


def class_colours(count: int) -> np.ndarray:
    """Colours of class ids, (count, 3) uint8; neighbours in the list differ in hue and lightness."""
    golden = 0.61803398875
    rows = [colorsys.hls_to_rgb((0.58 + i * golden) % 1, (0.62, 0.42, 0.74, 0.53)[i % 4], (0.75, 0.6, 0.9)[i % 3])
            for i in range(count)]
    return (np.array(rows).reshape(-1, 3) * 255).round().astype(np.uint8)
