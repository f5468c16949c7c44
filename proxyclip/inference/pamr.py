"""PAMR: pixel-adaptive mask refinement, which moves the borders of masks to those of the image's colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import LOGIT_SCALE
from proxyclip.text import TextEmbeddings

#: How many values of masks are refined at a time, so that the shifted copies of a group stay in a CPU's cache.
GROUP_NUMBERS = 2**18

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
            ("k", f"{self.k:g}", f"{PAMR.k:g}")) if value != usual]
        return ":".join(["pamr", *([",".join(changed)] if changed else [])])

    def affinities(self, image: Tensor) -> Tensor:
        """Weights of the neighbours of every pixel.

        Parameters
        ----------
        image : (3, H, W) float
            In any range.

        Returns
        -------
        (8 x dilations, H, W) float, sums to one over the neighbours
        """
        apart = torch.zeros(len(self._shifts()), *image.shape[-2:], dtype=image.dtype, device=image.device)
        for channel in image.split(1):  # one at a time, since 48 copies of a large image are gigabytes
            padded = self._padded(channel)
            around = torch.cat([self._shifted(padded, shift, channel.shape) for shift in self._shifts()])
            spread = torch.cat([around, channel]).std(dim=0, correction=1)
            apart += around.sub_(channel).abs_().div_(self.k * spread + SMALLEST_SPREAD)
        return (-apart / len(image)).softmax(dim=0)

    def refine(self, masks: Tensor, image: Tensor, affinities: Tensor | None = None) -> Tensor:
        """Refine masks.

        Parameters
        ----------
        masks : (C, H, W) float
            Probabilities of the classes, or any other score.
        image : (3, H, W) float
        affinities : (8 x dilations, H, W) float, optional
            From :meth:`affinities`, to compute them once for several sets of masks of one image.

        Returns
        -------
        (C, H, W) float
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


def class_probabilities(embedding: DenseEmbedding, text: TextEmbeddings) -> Tensor:
    """Probability of each class at each pixel: softmax over all queries, then the largest of each class's queries.

    Returns
    -------
    (classes, H, W) float32, on the device of the embedding
        They need not sum to one, since the probabilities of the queries of a class are not added.
    """
    probabilities = embedding.logits(text.embeddings).mul_(LOGIT_SCALE).softmax(dim=0)
    owner = torch.tensor(text.vocabulary.class_of_query, device=probabilities.device)
    if len(owner) == len(text.vocabulary):
        return probabilities
    return torch.stack([probabilities[owner == number].amax(dim=0) for number in range(len(text.vocabulary))])


def refined_labels(
    embedding: DenseEmbedding, text: TextEmbeddings, image: Tensor, pamr: PAMR, prob_threshold: float | None = None,
    affinities: Tensor | None = None,
) -> Tensor:
    """Label of each pixel after refinement of the class probabilities.

    Parameters
    ----------
    embedding : DenseEmbedding
    text : TextEmbeddings
    image : (3, H, W) float in 0..1
        At the size of the labels.
    pamr : PAMR
    prob_threshold : float, optional
        In [0, 1]. Where the best refined probability is below it, the label is 0 (background).
    affinities : Tensor, optional
        As for :meth:`PAMR.refine`.

    Returns
    -------
    (H, W) int64, on the device of the embedding

    Raises
    ------
    ValueError
        If the threshold is outside [0, 1].
    """
    if prob_threshold is not None and not 0 <= prob_threshold <= 1:
        raise ValueError(f"prob_threshold must lie in [0, 1], got {prob_threshold}")
    best, labels = pamr.refine(class_probabilities(embedding, text), image, affinities).max(dim=0)
    return labels if prob_threshold is None else labels.masked_fill(best < prob_threshold, 0)


def as_picture(pixels: object, device: torch.device) -> Tensor:
    """An (H, W, 3) uint8 image as (3, H, W) float32 in 0..1."""
    return torch.as_tensor(pixels).to(device).permute(2, 0, 1).float() / 255
