"""PAMR: pixel-adaptive mask refinement, which moves the borders of masks to those of the image's colours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import BLOCK_BYTES, LOGIT_SCALE, check_threshold
from proxyclip.text import TextEmbeddings

#: How many values of masks are refined at a time, so that the shifted copies of a group stay in a CPU's cache.
GROUP_NUMBERS = 2**18

#: Numbers of the shifted copies of a strip of the image, from which affinities are computed.
STRIP_NUMBERS = 2**22

#: Pixels that are refined in one piece. A larger image is refined in tiles, each with the surroundings that reach into
#: it, so that affinities (192 bytes a pixel) are held for one tile.
TILE_PIXELS = 2**21

#: Pixels times queries whose probabilities are held at a time.
GROUP_PIXELS = 2**22

#: By how much the rounding of its weights may raise a refined probability above the highest that was averaged.
ROUNDING = 1.0001

#: Avoids a division by zero in a neighbourhood of one colour, whose spread is zero; its affinities are then equal.
SMALLEST_SPREAD = 1e-8


@dataclass(frozen=True)
class PAMR:
    """Refine probability masks by the colours of the image (Araslanov and Roth 2020, "PAMR").

    Every pixel takes the weighted mean of its neighbours' probabilities, ``iterations`` times. The neighbours ``j`` of
    pixel ``i`` are the eight around it at the distance of each dilation. Their weights are
    ``softmax_j(-|I_i - I_j| / (k sigma_i))``, averaged over the three channels before the softmax, where ``sigma_i``
    is the standard deviation of the channel over the pixel and its neighbours. A neighbour beyond the border is the
    nearest pixel inside.

    Parameters
    ----------
    iterations : int
        10 by default.
    dilations : tuple of int
        Distances of the neighbours in pixels of the image.
    k : float
        Contrast, in local standard deviations, at which a neighbour's weight has fallen to 1/e.

    Raises
    ------
    ValueError
        If a parameter is not positive.

    Notes
    -----
    The result does not depend on the image's brightness and contrast, since the differences are divided by a local
    standard deviation. Weights sum to one, so that probabilities stay probabilities.

    Examples
    --------
    >>> import torch
    >>> picture = torch.zeros(3, 4, 6)
    >>> picture[:, :, 3:] = 1  # a black and a white half
    >>> mask = torch.full((1, 4, 6), 0.5)
    >>> mask[0, :, :2] = 1  # the probability ends one column before the colour does
    >>> refined = PAMR(iterations=10, dilations=(1,)).refine(mask, picture)[0, 0]
    >>> bool(refined[2] > 0.7), bool(refined[3] < 0.55)
    (True, True)
    """

    iterations: int = 10
    dilations: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
    k: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))
        for name, values in (("iterations", (self.iterations,)), ("dilations", self.dilations)):
            if not values or any(type(value) is not int or value < 1 for value in values):
                raise ValueError(f"{name} of PAMR must be whole numbers of at least 1, got {getattr(self, name)!r}")
        if not isinstance(self.k, int | float) or isinstance(self.k, bool) or not 0 < self.k < math.inf:
            raise ValueError(f"k of PAMR must be a positive number, got {self.k!r}")

    @property
    def name(self) -> str:
        """``"pamr"``, and behind a colon the parameters that differ from their defaults."""
        changed = [f"{field}={value}" for field, value, usual in (
            ("iterations", self.iterations, PAMR.iterations),
            ("dilations", "+".join(map(str, self.dilations)), "+".join(map(str, PAMR.dilations))),
            ("k", f"{self.k:.15g}", f"{PAMR.k:.15g}")) if value != usual]
        return ":".join(["pamr", *([",".join(changed)] if changed else [])])

    def affinities(self, image: Tensor) -> Tensor:
        """Weights of the neighbours of every pixel, (8 x dilations, H, W), of an image (3, H, W) float in any range.

        They sum to one over the neighbours.
        """
        shifts, wide = self._shifts(), max(self.dilations)
        apart = torch.zeros(len(shifts), *image.shape[-2:], dtype=image.dtype, device=image.device)
        step = max(1, STRIP_NUMBERS // (2 * len(shifts) * image.shape[-1]))
        for channel in image.split(1):  # 48 copies of a large image are gigabytes: one channel at a time, in strips
            padded = self._padded(channel)
            for top in range(0, image.shape[-2], step):
                here, part = channel[:, top : top + step], padded[:, top : top + step + 2 * wide]
                around = torch.cat([self._shifted(part, shift, here.shape) for shift in shifts])
                spread = torch.cat([around, here]).std(dim=0, correction=1)
                apart[:, top : top + step] += around.sub_(here).abs_().div_(self.k * spread + SMALLEST_SPREAD)
        for strip in apart.split(step, dim=1):
            strip.copy_((-strip / len(image)).softmax(dim=0))
        return apart

    def refine(self, masks: Tensor, image: Tensor, affinities: Tensor | None = None) -> Tensor:
        """Refine masks, (C, H, W) float: probabilities of the classes, or any other score.

        The image is (3, H, W) float; its :meth:`affinities` can be given, to compute them once for several sets of
        masks.
        """
        weights = self.affinities(image) if affinities is None else affinities
        shifts = self._shifts()
        step = max(1, GROUP_NUMBERS // math.prod(masks.shape[1:]))
        groups = []
        for group in masks.split(step):
            for _ in range(self.iterations):
                padded = self._padded(group)
                group = torch.zeros_like(group)
                for weight, shift in zip(weights, shifts, strict=True):
                    group.addcmul_(weight, self._shifted(padded, shift, group.shape))
            groups.append(group)
        return torch.cat(groups)

    def _shifts(self) -> list[tuple[int, int]]:
        """Rows and columns to each neighbour."""
        ring = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]
        return [(row * dilation, column * dilation) for dilation in self.dilations for row, column in ring]

    def _padded(self, picture: Tensor) -> Tensor:
        return F.pad(picture[None], (max(self.dilations),) * 4, mode="replicate")[0]

    def _shifted(self, padded: Tensor, shift: tuple[int, int], shape: torch.Size) -> Tensor:
        top, left = (max(self.dilations) + step for step in shift)
        return padded[:, top : top + shape[-2], left : left + shape[-1]]


def refined_labels(
    embedding: DenseEmbedding, text: TextEmbeddings, image: Tensor, pamr: PAMR, prob_threshold: float | None = None,
    affinities: Tensor | None = None,
) -> Tensor:
    """Label of each pixel after refinement of the class probabilities, (H, W) int64 on the device of the embedding.

    The probability of a class is that of :func:`proxyclip.inference.labels.labels_from_embedding`. Large images are
    refined in tiles, classes a few at a time, and those not at all that can lead nowhere; this does not change the
    result. The image is (3, H, W) float in 0..1, at the size of the labels. Where the best refined probability is below
    the threshold, the label is 0 (background).
    """
    check_threshold(prob_threshold)
    softmax = _Softmax(embedding, text)
    labels = torch.zeros(embedding.size, dtype=torch.int64, device=image.device)
    for core, around in _tiles(embedding.size, pamr.iterations * max(pamr.dilations)):
        picture = image[:, around[0], around[1]]
        weights = pamr.affinities(picture) if affinities is None else affinities[:, around[0], around[1]]
        inner = tuple(slice(c.start - a.start, c.stop - a.start) for c, a in zip(core, around, strict=True))
        found = labels[core]
        best = torch.full(found.shape, -torch.inf, device=found.device)
        for first, probabilities in softmax.classes(around):
            leading = (probabilities == probabilities.amax(dim=0)).flatten(1).any(dim=1)
            peaks = probabilities.flatten(1).amax(dim=1) * ROUNDING
            # Refinement averages, so no class rises above its peak. First those that lead somewhere; of the others only
            # those whose peak reaches what every pixel has by then.
            for others in (False, True):
                chosen = ~leading & (peaks >= max(float(best.min()), prob_threshold or 0)) if others else leading
                (number,) = chosen.nonzero(as_tuple=True)
                if len(number):
                    refined = pamr.refine(probabilities[number], picture, weights)[:, inner[0], inner[1]]
                    higher, position = refined.max(dim=0)
                    label = number[position] + first
                    ahead = (higher > best) | (higher == best) & (label < found)  # among equal ones the lower class
                    found, best = torch.where(ahead, label, found), torch.maximum(higher, best)
        labels[core] = found if prob_threshold is None else found.masked_fill(best < prob_threshold, 0)
    return labels


#: Rows and columns of an image.
Region = tuple[slice, slice]


def _tiles(size: tuple[int, int], reach: int) -> Iterator[tuple[Region, Region]]:
    """Tiles that cover an image, and each with its surroundings: what lies within ``reach`` pixels can change it."""
    if size[0] * size[1] <= TILE_PIXELS:
        whole = (slice(0, size[0]), slice(0, size[1]))
        yield whole, whole
        return
    side = max(64, math.isqrt(TILE_PIXELS) - 2 * reach)
    for top in range(0, size[0], side):
        for left in range(0, size[1], side):
            core = (slice(top, min(top + side, size[0])), slice(left, min(left + side, size[1])))
            yield core, (slice(max(0, top - reach), min(size[0], top + side + reach)),
                         slice(max(0, left - reach), min(size[1], left + side + reach)))


class _Softmax:
    """Probabilities of classes from the softmax over all queries, for parts of an image and a few classes at a time."""

    def __init__(self, embedding: DenseEmbedding, text: TextEmbeddings) -> None:
        self.embedding, self.owner = embedding, text.vocabulary.class_of_query
        self.scores = embedding.scores(text.embeddings)
        best, total = [], []
        for logits in embedding.rows(text.embeddings, BLOCK_BYTES["cuda"]):
            scaled = logits.mul_(LOGIT_SCALE)
            best.append(scaled.amax(dim=1))
            total.append(scaled.sub_(best[-1][:, None]).exp_().sum(dim=1))
        self.best, self.total = torch.cat(best), torch.cat(total)

    def classes(self, region: Region) -> Iterator[tuple[int, Tensor]]:
        """Yield (first class, its probability and that of those behind it: (classes, rows, columns) float32)."""
        best, total = self.best[region], self.total[region]
        most = max(1, GROUP_PIXELS // best.numel())
        ends = [number for number in range(1, len(self.owner)) if self.owner[number] != self.owner[number - 1]]
        start = 0
        for place, end in enumerate([*ends, len(self.owner)]):
            following = [*ends, len(self.owner)][place + 1 : place + 2]
            if following and following[0] - start <= most:
                continue
            logits = self.embedding.enlarge(self.scores[:, start:end], region)
            each = logits.mul_(LOGIT_SCALE).sub_(best).exp_().div_(total)
            owner = torch.tensor(self.owner[start:end], device=each.device)
            first, last = self.owner[start], self.owner[end - 1]
            yield first, (each if last - first + 1 == len(each) else
                          torch.stack([each[owner == number].amax(dim=0) for number in range(first, last + 1)]))
            start = end


def as_picture(pixels: object, device: torch.device) -> Tensor:
    """An (H, W, 3) uint8 image as (3, H, W) float32 in 0..1."""
    return torch.as_tensor(pixels).to(device).permute(2, 0, 1).float() / 255
