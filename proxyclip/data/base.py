"""What every set of images is: samples, a vocabulary and a protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from proxyclip.data.samples import SampleError
from proxyclip.text import Vocabulary


@dataclass(frozen=True)
class Protocol:
    """How a set is evaluated.

    Attributes
    ----------
    short_side : int or None
        Images are resized to this short side in pixels, aspect kept; None keeps their size.
    window, stride : int
        Sliding window in pixels of the resized image.
    prob_threshold : float or None
        Below this probability the label is class 0.
    baseline_threshold : float or None
        The same for plain CLIP (rule ``vanilla``), where it differs.
    long_side : int
        The resized long side is at most this.
    """

    short_side: int | None
    window: int
    stride: int
    prob_threshold: float | None = None
    baseline_threshold: float | None = None
    long_side: int = 2048

    def threshold(self, rule_name: str) -> float | None:
        """Return the probability threshold for a rule, by the rule's name."""
        plain_clip = rule_name.partition(":")[0] == "vanilla"
        if plain_clip and self.baseline_threshold is not None:
            return self.baseline_threshold
        return self.prob_threshold


class Dataset(ABC):
    """A set that can be evaluated.

    Attributes
    ----------
    name : str
    vocabulary : Vocabulary
    protocol : Protocol
    """

    name: str
    vocabulary: Vocabulary
    protocol: Protocol

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Load a sample; raises :class:`SampleError` when its files are not usable."""

    @abstractmethod
    def sample_id(self, index: int) -> str:
        """Return the id of a sample without loading it."""

    @abstractmethod
    def signature(self) -> dict[str, object]:
        """Return what identifies the content, as JSON values: equal signatures mean equal samples."""

    def problems(self) -> dict[int, SampleError]:
        """Return the samples that are known to be unusable without loading them, by index."""
        return {}

    def notes(self) -> list[str]:
        """Return what a reader of the result should know about the set, one sentence each."""
        return []

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True)
class Sample:
    """One image with its ground truth.

    Attributes
    ----------
    id : str
        Stable name within the set.
    image : PIL.Image.Image
        RGB, 8 bit.
    labels : (H, W) int32
        Class ids at the image's own size; -1 is not evaluated.
    """

    id: str
    image: Image.Image
    labels: np.ndarray
