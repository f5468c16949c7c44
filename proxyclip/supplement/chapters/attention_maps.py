"""What one patch attends to: a row of the attention matrix, laid out as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from proxyclip.attention import masked_softmax, mean_similarity, unit
from proxyclip.inference.images import ImageLike
from proxyclip.inference.windows import Box, cut_windows
from proxyclip.rules import ClipAttention, MaskingRule, Rule, Vanilla
from proxyclip.rules.block import BlockView
from proxyclip.segment import ProxyCLIP


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one patch over the patches of its window.

    Parameters
    ----------
    weights : (rows, columns) float32
        Sum to 1.
    similarity : (rows, columns) float32
        What the weights were made from: cosines for the masking rules.
    threshold : float or None
        Smallest similarity that is kept; None where nothing is masked.
    box : Box
        The window, in pixels of the working image.
    patch : (row, column)
        The patch that attends.
    working_size : (h, w)
        Of the working image.
    """

    weights: Tensor
    similarity: Tensor
    threshold: float | None
    box: Box
    patch: tuple[int, int]
    working_size: tuple[int, int]

    @property
    def multiples(self) -> Tensor:
        """The weights in multiples of the uniform one, so that grids of different sizes compare."""
        return self.weights * self.weights.numel()


@torch.inference_mode()
def attention_map(model: ProxyCLIP, image: ImageLike, point: tuple[int, int], rule: Rule) -> AttentionMap:
    """Attention of the patch under a point, in the window whose centre is nearest to the point.

    Parameters
    ----------
    model : ProxyCLIP
        With a window that the image fills.
    image : path, PIL image or (H, W, 3) uint8
    point : (row, column)
        Pixel of the image.
    rule : MaskingRule, ClipAttention with joined heads, or Vanilla
        For :class:`Vanilla`, the mean over the heads of the weights on the patches, without the class token.

    Returns
    -------
    AttentionMap

    Raises
    ------
    ValueError
        If the point lies outside the image or the rule has no single attention matrix over the patches.
    """
    size, pixels, boxes, padding = model.prepare_windows(image)
    if not all(0 <= at < length for at, length in zip(point, size, strict=True)):
        raise ValueError(f"point {point} lies outside the image of {size[0]} x {size[1]} pixels")
    row, column = (at * there // here for at, here, there in zip(point, size, pixels.shape[-2:], strict=True))
    box = min(boxes, key=lambda b: (b.top + b.bottom - 2 * row) ** 2 + (b.left + b.right - 2 * column) ** 2)
    if isinstance(rule, MaskingRule):
        if model.vfm is None:
            raise ValueError(f"rule {rule.name} reads a vision foundation model, and none is loaded; pass vfm=NAME")
        window = cut_windows(model.vfm.normalize(pixels).to(model.dtype), [box], padding)
        proxy = model.vfm.features(window)
        first = second = unit(proxy.flatten(2).transpose(1, 2))
        grid, masking = tuple(proxy.shape[-2:]), rule
    else:
        trunk = model.clip.trunk(cut_windows(model.clip.normalize(pixels).to(model.dtype), [box], padding))
        block = BlockView(model.clip.model.visual.transformer.resblocks[-1], trunk.states[-1])
        grid = trunk.grid
        if isinstance(rule, Vanilla):
            first, second, masking = block.patch_heads("q")[0], block.patch_heads("k")[0], None
        elif isinstance(rule, ClipAttention) and rule.heads == "joined" and rule.measure == "cosine":
            first, second = (unit(block.join_heads(block.patch_heads(letter))) for letter in rule.kind)
            masking = rule.masking
        else:
            raise ValueError(f"rule {rule.name} has no single attention matrix over the patches")
    height = box.bottom - box.top + padding.top + padding.bottom
    width = box.right - box.left + padding.left + padding.right
    patch = ((row - box.top + padding.top) * grid[0] // height, (column - box.left + padding.left) * grid[1] // width)
    index = patch[0] * grid[1] + patch[1]
    similarity = (first[:, index : index + 1] @ second.transpose(1, 2)).float()
    if masking is None:
        similarity = similarity * first.shape[-1] ** -0.5
        weights, threshold = similarity.softmax(dim=-1), None
    else:
        scale, threshold = masking.scale_and_threshold(mean_similarity(first, second))
        weights, threshold = masked_softmax(similarity, scale, threshold), float(threshold)
    working = tuple(pixels.shape[-2:])
    return AttentionMap(weights.mean(0).reshape(grid), similarity.mean(0).reshape(grid), threshold, box, patch, working)

#: Pictures side by side in a figure of attention maps; more would be too small on a phone.


def of_rules(
    model: ProxyCLIP, image: ImageLike, point: tuple[int, int], rules: Mapping[str, Rule]
) -> dict[str, AttentionMap]:
    """:func:`attention_map` of one point under several rules, by the rules' titles."""
    return {title: attention_map(model, image, point, rule) for title, rule in rules.items()}


ATTENTION_COLUMNS = 3


def attention(image: np.ndarray, point: tuple[int, int], maps: Mapping[str, AttentionMap]) -> Figure:
    """The image with a marked point, and the attention of the patch under it in each map.

    Weights are shown as multiples of the uniform weight 1/N, so that grids of different sizes compare.

    Parameters
    ----------
    image : (H, W, 3) uint8
    point : (row, column)
    maps : mapping of title to AttentionMap

    Returns
    -------
    matplotlib Figure
    """
    rows = -(-(1 + len(maps)) // ATTENTION_COLUMNS)
    figure = Figure(figsize=(ATTENTION_COLUMNS * 1.6, rows * 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, ATTENTION_COLUMNS, squeeze=False).ravel()
    first = next(iter(maps.values()))
    box, scale = first.box, image.shape[0] / first.working_size[0]
    axes[0].imshow(image)
    axes[0].add_patch(Rectangle((box.left * scale - 0.5, box.top * scale - 0.5), (box.right - box.left) * scale,
                                (box.bottom - box.top) * scale, fill=False, edgecolor="white", linewidth=1.2))
    axes[0].plot(point[1], point[0], marker="o", markersize=6, markerfacecolor="none", markeredgecolor="white",
                 markeredgewidth=1.6)
    axes[0].set_title("image, window", fontsize=11)
    for ax, (title, shown) in zip(axes[1:], maps.items(), strict=False):
        picture = ax.imshow(shown.multiples.cpu().numpy(), cmap="viridis", vmin=0)
        ax.plot(shown.patch[1], shown.patch[0], marker="o", markersize=6, markerfacecolor="none",
                markeredgecolor="white", markeredgewidth=1.6)
        ax.set_title(title, fontsize=11)
        bar = figure.colorbar(picture, ax=ax, location="bottom", shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=9)
    for ax in axes:
        ax.set_axis_off()
    return figure
