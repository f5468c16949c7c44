"""The interface of every set of images: samples, a vocabulary and a protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from proxyclip.data.samples import SampleError
from proxyclip.text import Vocabulary

if TYPE_CHECKING:
    from proxyclip.rules import Rule


@dataclass(frozen=True)
class Protocol:
    """How a set is evaluated."""

    short_side: int | None  #: Images are resized to this short side in pixels, aspect kept; None keeps their size.
    #: Sliding window in pixels of the resized image.
    window: int
    stride: int
    prob_threshold: float | None = None  #: Below this probability the label is class 0.
    #: The threshold of plain CLIP (rule ``vanilla`` with any options), where it differs.
    baseline_threshold: float | None = None
    long_side: int = 2048  #: The resized long side is at most this.

    def threshold(self, rule: Rule | str) -> float | None:
        """Return the probability threshold for a rule."""
        from proxyclip.rules import Vanilla, parsing  # and torch, for which ``proxyclip prepare`` does not wait

        own = self.baseline_threshold if isinstance(parsing.parsed_rules([rule])[0], Vanilla) else None
        return self.prob_threshold if own is None else own


class Dataset(ABC):
    """A set that can be evaluated."""

    name: str
    vocabulary: Vocabulary
    protocol: Protocol
    #: If true, the label after the last class marks pixels of no class; any prediction there is wrong.
    counts_void: bool = False
    made_from: str = ""  #: What the label files were made from, where that is known and matters.

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

    def first(self, limit: int | None) -> Dataset:
        """A view of the first ``limit`` samples; the set itself when it has no more, or for None."""
        if limit is None:
            return self
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit must be a positive number of images, got {limit!r}")
        return self if limit >= len(self) else _First(self, limit)

    def with_windows(self, window: int, stride: int, short_side: int | None) -> Dataset:
        """Return the set with these windows where its protocol leaves them to the model; a benchmark never does."""
        return self

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))


class _First(Dataset):
    """The first samples of a set, with the vocabulary and the protocol that the set has at that moment."""

    def __init__(self, whole: Dataset, limit: int) -> None:
        self.name, self.vocabulary, self.protocol = whole.name, whole.vocabulary, whole.protocol
        self.counts_void, self.made_from = whole.counts_void, whole.made_from
        self.benchmark = getattr(whole, "benchmark", None)  # how labels are read, which a card of an own set names
        self._whole, self._limit = whole, limit

    def __len__(self) -> int:
        return self._limit

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._limit:
            raise IndexError(f"the first {self._limit} samples of {self.name} have no number {index}")
        return self._whole[index]

    def sample_id(self, index: int) -> str:
        return self._whole.sample_id(index)

    def signature(self) -> dict[str, object]:
        return {**self._whole.signature(), "first": self._limit}

    def problems(self) -> dict[int, SampleError]:
        return {index: error for index, error in self._whole.problems().items() if index < self._limit}

    def notes(self) -> list[str]:
        return self._whole.notes()

    def with_windows(self, window: int, stride: int, short_side: int | None) -> Dataset:
        whole = self._whole.with_windows(window, stride, short_side)
        return self if whole is self._whole else _First(whole, self._limit)


@dataclass(frozen=True)
class Sample:
    """One image with its ground truth."""

    id: str  #: Stable name within the set.
    image: Image.Image  #: RGB, 8 bit.
    labels: np.ndarray  #: (H, W) int32: class ids at the image's own size; -1 is not evaluated.
