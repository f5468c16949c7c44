"""Batches of an image's windows, and the outputs of CLIP and the vision foundation model for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from proxyclip.inference.windows import Box
from proxyclip.models.clip import DenseCLIP, Trunk
from proxyclip.models.vfm import VFM
from proxyclip.system.finite import check_finite

#: Input pixels of one batch of windows: on a GPU 9 windows of 336 x 336 or one of 1024 x 1024; on a CPU one of
#: 336 x 336 or 9 of 64 x 64, since the activations of a larger batch do not stay in the cache between two layers.
BATCH_PIXELS = {"cpu": 40_000, "cuda": 1_048_576}


@dataclass(frozen=True)
class Windows:
    """A batch of an image's windows; the outputs of the networks are computed when they are needed."""

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

    @torch.inference_mode()
    def clip_trunk(self) -> Trunk:
        """CLIP up to its last block (:meth:`proxyclip.models.clip.DenseCLIP.trunk`)."""
        return self.clip.trunk(self.clip_pixels())

    @torch.inference_mode()
    def vfm_features(self) -> Tensor:
        """Patch features of the vision foundation model, (B, C, rows, columns) float, not normalised.

        Raises ``ValueError`` if no foundation model is loaded, or it gives values that are not finite.
        """
        if self.vfm is None:
            raise ValueError("the model has no vision foundation model; pass vfm=NAME")
        features = self.vfm.features(self.cut(self.normalized(self.vfm)))
        check_finite([features], self.vfm, "features")
        return features
