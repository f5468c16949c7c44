"""Sliding windows: where they lie, what the networks give for some of them, and how overlapping maps are averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.attention import sides
from proxyclip.models.clip import DenseCLIP, Trunk
from proxyclip.models.vfm import VFM
from proxyclip.system.finite import check_finite

#: The long side of an image is at most this after resizing, pixels.
LONG_SIDE = 2048


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


class PreparedImage(NamedTuple):
    """An image at its working size, and its sliding windows."""

    size: tuple[int, int]  #: (H, W): of the image itself.
    pixels: Tensor  #: (3, h, w) float32 in 0..1: the working image, after resizing.
    boxes: list[Box]  #: The windows, all of one size.
    padding: Padding  #: The zeros around each window.

    @property
    def working_size(self) -> tuple[int, int]:
        return sides(self.pixels)


def prepare_image(
    image: Tensor, window: int, stride: int, short_side: int | None, pad_multiple: int, antialias: bool = False,
    long_side: int = LONG_SIDE,
) -> PreparedImage:
    """Resize an image, (H, W, 3) uint8, to its working size and place the sliding windows on it.

    ``antialias`` smooths the image while it is resized, as some implementations do; the rest is as for
    :class:`proxyclip.segment.ProxyCLIP`.
    """
    pixels = image.permute(2, 0, 1).float()
    size = sides(pixels)
    working = working_size(*size, short_side, long_side)
    if working != size:  # bilinear on bytes and back to bytes, as image libraries resize
        pixels = F.interpolate(pixels[None], size=working, mode="bilinear", align_corners=False, antialias=antialias)
        pixels = pixels[0].round_().clamp_(0, 255)
    boxes = window_boxes(*working, window, stride)
    height, width = boxes[0].bottom - boxes[0].top, boxes[0].right - boxes[0].left
    return PreparedImage(size, pixels / 255, boxes, window_padding(height, width, pad_multiple, window))


def working_size(height: int, width: int, short_side: int | None, longest: int = LONG_SIDE) -> tuple[int, int]:
    """Size to which an image is resized: short side ``short_side``, long side at most ``longest``, aspect kept.

    ``short_side=None`` keeps the size. Each side has at least one pixel.
    """
    if short_side is None:
        return height, width
    factor = min(short_side / min(height, width), longest / max(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def window_boxes(height: int, width: int, crop: int, stride: int) -> list[Box]:
    """Windows of side ``crop`` every ``stride`` pixels, the last one of a row or column aligned to the border.

    All windows of an image have the same size, which is smaller than the crop if the image is.
    """
    def starts(length: int) -> list[int]:
        last = max(length - crop, 0)
        return [*range(0, last, stride), last]

    return [Box(top, left, min(top + crop, height), min(left + crop, width))
            for top in starts(height) for left in starts(width)]


def window_padding(height: int, width: int, multiple: int, crop: int) -> Padding:
    """Zeros on both sides that extend a window smaller than the crop to a multiple; none along a full side."""
    def split(length: int) -> tuple[int, int]:
        missing = 0 if length >= crop else -length % multiple
        return missing // 2, missing - missing // 2

    return Padding(*split(width), *split(height))


def cut_windows(pixels: Tensor, boxes: Iterable[Box], padding: Padding) -> Tensor:
    """Stack windows of a normalised image, (3, H, W) -> (windows, 3, h, w), with zeros around."""
    stacked = torch.stack([pixels[:, box.top : box.bottom, box.left : box.right] for box in boxes])
    return F.pad(stacked, padding) if any(padding) else stacked


@dataclass(frozen=True)
class Windows:
    """A batch of an image's windows; the outputs of the networks are computed once, when they are needed."""

    clip: DenseCLIP
    vfm: VFM | None
    boxes: Sequence[Box]  #: Where the windows lie in the working image.
    pixels: Tensor  #: (3, h, w) float32 in 0..1: the working image.
    #: Cuts the same windows, with the zeros around them, out of any (C, h, w) picture of the working image's size.
    cut: Callable[[Tensor], Tensor]
    normalized: Callable[[DenseCLIP | VFM], Tensor]  #: The working image in the normalisation of one of the networks.

    def clip_pixels(self) -> Tensor:
        """The windows as CLIP takes them, (B, 3, h, w)."""
        return self.cut(self.normalized(self.clip))

    def clip_trunk(self) -> Trunk:
        """CLIP up to its last block (:meth:`proxyclip.models.clip.DenseCLIP.trunk`)."""
        return self._trunk

    def vfm_features(self) -> Tensor:
        """Patch features of the vision foundation model, (B, C, rows, columns) float, not normalised.

        Raises ``ValueError`` if no foundation model is loaded, or it gives values that are not finite.
        """
        return self._features

    @cached_property
    @torch.inference_mode()
    def _trunk(self) -> Trunk:
        return self.clip.trunk(self.clip_pixels())

    @cached_property
    @torch.inference_mode()
    def _features(self) -> Tensor:
        if self.vfm is None:
            raise ValueError("the model has no vision foundation model; pass vfm=NAME")
        features = self.vfm.features(self.cut(self.normalized(self.vfm)))
        check_finite([features], self.vfm, "features")
        return features


class Placement(NamedTuple):
    """Where an image's windows lie, the size to which what they show is resized, and the columns that are wanted."""

    boxes: Sequence[Box]
    padding: Padding
    size: tuple[int, int]
    final: tuple[int, int]
    columns: slice = slice(None)

    def matrices(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The matrices from a grid of patches per window to the final rows and columns (:func:`axis_matrix`)."""
        one, cut = self.boxes[0], self.padding
        tops, lefts = (tuple(sorted({box[side] for box in self.boxes})) for side in (0, 1))
        return (axis_matrix(tops, one.bottom - one.top, cut.top, cut.bottom, grid[0], self.size[0], self.final[0]),
                axis_matrix(lefts, one.right - one.left, cut.left, cut.right, grid[1], self.size[1], self.final[1]))


def stitch_rows(maps: Tensor, place: Placement, step: int, rows: slice = slice(None)) -> Iterator[Tensor]:
    """Resize each window's map to the window, cut the padding, average overlapping windows, resize to the final size.

    Of maps (windows, q, rows, columns) float, ``step`` of the final rows are made at a time, from the top, in the
    columns of the placement: it yields (step or fewer, q, columns) in the dtype of the maps, for the given ``rows``.
    All steps are linear and separable (bilinear, ``align_corners=False``), so that along each axis they are one small
    matrix from the patches of all windows to the pixels of the image. Two products replace a resizing per window, and
    no map of the working size is held in memory.
    """
    vertical, horizontal = (matrix.to(maps) for matrix in place.matrices(sides(maps)))
    high, wide = vertical.shape[1] // maps.shape[-2], horizontal.shape[1] // maps.shape[-1]
    grid = maps.unflatten(0, (high, wide)).permute(0, 3, 2, 1, 4)  # tops, rows, q, lefts, columns
    grid = grid.reshape(vertical.shape[1], maps.shape[1], horizontal.shape[1])
    for part in vertical[rows].split(step):
        yield (part @ grid.flatten(1)).unflatten(1, grid.shape[1:]) @ horizontal[place.columns].T


@lru_cache(maxsize=64)
def axis_matrix(
    starts: tuple[int, ...], length: int, before: int, after: int, cells: int, working: int, final: int
) -> Tensor:
    """Matrix of :func:`stitch_rows` along one axis, (final, len(starts) * cells) float64, whose rows sum to 1.

    ``starts`` are the first pixels of the windows in the working image; ``length``, ``before`` and ``after`` the pixels
    of a window, and of the zeros in front of it and behind it; ``cells`` the patches of a window, padding included;
    ``working`` and ``final`` the pixels of the working image and of the result.
    """
    patches = torch.eye(cells, dtype=torch.float64)[None]
    window = F.interpolate(patches, size=before + length + after, mode="linear", align_corners=False)[0]
    window = window[:, before : before + length]
    matrix = torch.zeros(len(starts), cells, working, dtype=torch.float64)
    for number, start in enumerate(starts):
        matrix[number, :, start : start + length] = window
    matrix = matrix.flatten(0, 1)
    matrix = matrix / matrix.sum(dim=0)  # the number of windows that cover the pixel
    if final != working:
        matrix = F.interpolate(matrix[None], size=final, mode="linear", align_corners=False)[0]
    return matrix.T.contiguous()
