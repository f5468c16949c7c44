"""What one patch attends to: a row of the attention matrix."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from proxyclip.attention import masked_softmax, mean_similarity, sides, unit
from proxyclip.data.base import Dataset
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.inference.images import ImageLike
from proxyclip.inference.windows import Box, Padding
from proxyclip.rules import ClipAttention, MaskingRule, Rule, Vanilla
from proxyclip.rules.block import BlockView, image_blocks
from proxyclip.segment import ProxyCLIP, Windows
from proxyclip.supplement.display_names import labels_of


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one patch over the patches of its window."""

    weights: Tensor  #: (rows, columns) float32: sum to 1.
    similarity: Tensor  #: (rows, columns) float32: what the weights were made from: cosines for the masking rules.
    threshold: float  #: Smallest similarity that is kept; minus infinity where nothing is masked.
    box: Box  #: The window, in pixels of the working image.
    patch: tuple[int, int]  #: (row, column): the patch that attends.
    working_size: tuple[int, int]  #: (h, w): of the working image.

    @property
    def multiples(self) -> Tensor:
        """The weights in multiples of the uniform one, so that grids of different sizes compare."""
        return self.weights * self.weights.numel()


@torch.inference_mode()
def attention_map(model: ProxyCLIP, image: ImageLike, point: tuple[int, int], rule: Rule) -> AttentionMap:
    """Attention of the patch under a point, in the window whose centre is nearest to the point.

    The model's window is one that the image fills, and the point is (row, column) in pixels of the image. The rule is a
    masking rule, :class:`ClipAttention` with joined heads, or :class:`Vanilla`: the mean over the heads of the weights
    on the patches, without the class token. A ``ValueError`` refuses rules without a single attention matrix.
    """
    prepared = model.prepare_windows(image)
    size, pixels, boxes, padding = prepared
    if not all(0 <= at < length for at, length in zip(point, size, strict=True)):
        raise ValueError(f"point {point} lies outside the image of {size[0]} x {size[1]} pixels")
    row, column = (at * there // here for at, here, there in zip(point, size, pixels.shape[-2:], strict=True))
    box = min(boxes, key=lambda b: (b.top + b.bottom - 2 * row) ** 2 + (b.left + b.right - 2 * column) ** 2)
    (window,) = model.windows(prepared, [box])
    first, second, grid, masking = _compared(window, rule)
    height = box.bottom - box.top + padding.top + padding.bottom
    width = box.right - box.left + padding.left + padding.right
    patch = ((row - box.top + padding.top) * grid[0] // height, (column - box.left + padding.left) * grid[1] // width)
    index = patch[0] * grid[1] + patch[1]
    weights, similarity, threshold = _attention(first, second, masking, slice(index, index + 1))
    weights, similarity = (maps.mean(0).reshape(grid) for maps in (weights, similarity))
    return AttentionMap(weights, similarity, threshold, box, patch, prepared.working_size)


def _compared(window: Windows, rule: Rule) -> tuple[Tensor, Tensor, tuple[int, int], MaskingRule | None]:
    """What a rule compares in a window: two sets of vectors, (heads or 1, N, C), on which grid, and how it masks."""
    if isinstance(rule, MaskingRule):
        proxy = window.vfm_features()
        vectors = unit(proxy.flatten(2).transpose(1, 2))
        return vectors, vectors, sides(proxy), rule
    trunk = window.clip_trunk()
    block = BlockView(image_blocks(window.clip.model)[-1], trunk.states[-1])
    if isinstance(rule, Vanilla):
        return block.patch_heads("q")[0], block.patch_heads("k")[0], trunk.grid, None
    if isinstance(rule, ClipAttention) and rule.heads == "joined" and rule.measure == "cosine":
        first, second = (unit(block.join_heads(block.patch_heads(letter))) for letter in rule.kind)
        return first, second, trunk.grid, rule.masking
    raise ValueError(f"rule {rule.name} has no single attention matrix over the patches")


def _attention(
    first: Tensor, second: Tensor, masking: MaskingRule | None, rows: slice = slice(None)
) -> tuple[Tensor, Tensor, float]:
    """Some rows of the weights, of what they were made from, and the threshold."""
    similarity = (first[:, rows] @ second.transpose(1, 2)).float()
    if masking is None:
        similarity = similarity * first.shape[-1] ** -0.5
        return similarity.softmax(dim=-1), similarity, -math.inf
    scale, threshold = masking.scale_and_threshold(mean_similarity(first, second))
    return masked_softmax(similarity, scale, threshold), similarity, float(threshold)


@torch.inference_mode()
def own_region_share(model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], limit: int | None = None) -> pd.Series:
    """How much of its attention a patch gives to the region that it lies in, by rule name, in per cent.

    That is the weight on patches whose centre carries the label of the attending patch's centre, averaged over the
    patches with a label, the windows and the images. Rules are those of :func:`attention_map`.
    """
    weight, patches = (pd.Series(0.0, index=[rule.name for rule in rules]) for _ in range(2))
    model, data = under_protocol(model, data), data.first(limit)
    for sample in data:
        prepared = model.prepare_windows(np.array(sample.image))
        for box, window in zip(prepared.boxes, model.windows(prepared, batch=1), strict=True):
            for rule in rules:
                first, second, grid, masking = _compared(window, rule)
                weights = _attention(first, second, masking)[0].mean(0)
                known = _labels_of_patches(sample.labels, prepared.working_size, box, prepared.padding, grid)
                labels = torch.from_numpy(known).to(weights.device)
                valid = labels >= 0
                weight[rule.name] += float((weights * (labels[:, None] == labels[None]))[valid].sum())
                patches[rule.name] += int(valid.sum())
    return 100 * weight / patches


def _labels_of_patches(
    labels: np.ndarray, working: tuple[int, int], box: Box, padding: Padding, grid: tuple[int, int]
) -> np.ndarray:
    """Label under the centre of each patch of a window, (N,), row by row; -1 in the padding."""
    found = np.full(grid, -1)
    places = []
    for axis, (low, high, before, after) in enumerate((
            (box.top, box.bottom, padding.top, padding.bottom), (box.left, box.right, padding.left, padding.right))):
        centres = (np.arange(grid[axis]) + 0.5) * (high - low + before + after) / grid[axis] + low - before
        inside = (centres >= low) & (centres < high)
        places.append((inside, (centres * labels.shape[axis] / working[axis]).astype(int)))
    (rows, row), (columns, column) = places
    found[np.ix_(rows, columns)] = labels[np.ix_(row[rows], column[columns])]
    return found.ravel()


def of_models(
    models: Mapping[str, ProxyCLIP], image: ImageLike, point: tuple[int, int], rules: Mapping[str, Rule]
) -> dict[str, AttentionMap]:
    """:func:`attention_map` of one point by the titles of rules, of which those that read CLIP alone count once.

    Where there are several models, the titles name them: ``"softmax of S (SAM)"``.
    """
    names, found = labels_of(models), {}
    for number, (vfm, model) in enumerate(models.items()):
        for title, rule in rules.items():
            read = isinstance(rule, MaskingRule)
            if number == 0 or read:
                named = f"{title} ({names[vfm]})" if read and len(models) > 1 else title
                found[named] = attention_map(model, image, point, rule)
    return found
