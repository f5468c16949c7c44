"""Sliding windows: where they lie, how small ones are padded, how overlapping maps become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Box(NamedTuple):
    """A window in pixels of the working image, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int


class Padding(NamedTuple):
    """Zeros around a window that is smaller than the crop, in pixels."""

    left: int
    right: int
    top: int
    bottom: int


def working_size(height: int, width: int, short_side: int | None, longest: int = 2048) -> tuple[int, int]:
    """Size an image is resized to: short side ``short_side``, long side at most ``longest``, aspect kept.

    ``short_side=None`` keeps the size. At least one pixel is left on each side.
    """
    if short_side is None:
        return height, width
    factor = min(short_side / min(height, width), longest / max(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def window_boxes(height: int, width: int, crop: int, stride: int) -> list[Box]:
    """Windows of side ``crop`` every ``stride`` pixels, the last one of a row or column aligned to the border.

    Where the image is smaller than the crop, so are the windows; all windows of an image have the same size.
    """
    def starts(length: int) -> list[int]:
        last = max(length - crop, 0)
        return [*range(0, last, stride), last]

    return [Box(top, left, min(top + crop, height), min(left + crop, width))
            for top in starts(height) for left in starts(width)]


def window_padding(height: int, width: int, multiple: int, crop: int) -> Padding:
    """Zeros that bring a window smaller than the crop to a multiple, split on both sides; none on a full side."""
    def split(length: int) -> tuple[int, int]:
        missing = 0 if length >= crop else -length % multiple
        return missing // 2, missing - missing // 2

    return Padding(*split(width), *split(height))


def cut_windows(pixels: Tensor, boxes: Iterable[Box], padding: Padding) -> Tensor:
    """Stack windows of a normalised image, (3, H, W) -> (windows, 3, h, w), with zeros around."""
    stacked = torch.stack([pixels[:, box.top : box.bottom, box.left : box.right] for box in boxes])
    return F.pad(stacked, padding) if any(padding) else stacked


def stitch(maps: Sequence[Tensor] | Tensor, boxes: Sequence[Box], padding: Padding, size: tuple[int, int]) -> Tensor:
    """Resize each window's map to the window, cut the padding, and average where windows overlap.

    Parameters
    ----------
    maps : (windows, q, rows, columns) float32
    boxes : sequence of Box
    padding : Padding
    size : (height, width)
        Of the working image.

    Returns
    -------
    (q, height, width) float32
    """
    first = boxes[0]
    height = first.bottom - first.top + padding.top + padding.bottom
    width = first.right - first.left + padding.left + padding.right
    total = torch.zeros((maps[0].shape[0], *size), dtype=maps[0].dtype, device=maps[0].device)
    count = torch.zeros(size, dtype=maps[0].dtype, device=maps[0].device)
    for window, box in zip(maps, boxes, strict=True):
        window = F.interpolate(window[None], size=(height, width), mode="bilinear", align_corners=False)[0]
        window = window[:, padding.top : height - padding.bottom, padding.left : width - padding.right]
        total[:, box.top : box.bottom, box.left : box.right] += window
        count[box.top : box.bottom, box.left : box.right] += 1
    return total.div_(count)
