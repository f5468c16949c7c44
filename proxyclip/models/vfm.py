"""Vision foundation models: a window of pixels in, a grid of patch features out."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxyclip.attention import sides
from proxyclip.models import timm_models
from proxyclip.models.cpu_bfloat16 import faster_products
from proxyclip.models.positions import resize_positions
from proxyclip.models.registry import VFMSpec
from proxyclip.system.recent import Recent


class VFM(nn.Module):
    """A vision foundation model read as a grid of patch features.

    The backbone is a timm Vision Transformer (``"tokens"``), a SAM encoder (``"neck"``), a
    :class:`proxyclip.models.diffusion.DiffusionFeatures` (``"diffusion"``) or a user's own (``"map"``). ``crop`` is the
    side of the sliding window, for models whose input is resized to it, and ``sha256`` that of the weights file, None
    for untrained weights.
    """

    positions: Tensor

    def __init__(self, backbone: nn.Module, spec: VFMSpec, name: str, crop: int, sha256: str | None = None) -> None:
        super().__init__()
        self.sha256 = sha256
        self.definition = str(sha256) if spec.source == "own" else ""  # what its weights do not say
        self.source = "the given weights"  # for messages; whoever loads a file names it here
        self.backbone = backbone.eval().requires_grad_(False)
        self.spec = spec
        self.name = name
        self.recent = Recent[Tensor]()
        self.input_size = crop if spec.input_size == "crop" else spec.input_size
        if spec.feature == "neck":
            timm_models.share_relative_attention(self.backbone)
        if spec.position is not None:
            self.register_buffer("positions", timm_models.positions(backbone).detach().clone(), persistent=False)
            self._trained_grid = timm_models.trained_grid(backbone)
            timm_models.accept_any_size(backbone)

    @property
    def described(self) -> str:
        """The name, with "(random)" behind it if the weights are untrained, as CLIP's name has it."""
        return self.name if self.sha256 is not None or self.spec.source == "own" else f"{self.name} (random)"

    @property
    def patch_size(self) -> int:
        """Side in pixels of the input patch behind one feature; not available for registered models."""
        return timm_models.patch_side(self.backbone)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1, (..., 3, H, W), to the model's normalisation, in the dtype of the pixels."""
        mean, std = (pixels.new_tensor(three)[:, None, None] for three in (self.spec.mean, self.spec.std))
        return (pixels - mean) / std

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """Patch features of a batch of windows, not normalised: (B, C, rows, columns) float.

        The pixels, (B, 3, H, W) float, are normalised with :meth:`normalize`.
        """
        with faster_products(pixels.dtype, pixels.device):
            return self.recent.of(pixels, self.input_size, compute=partial(self._features, pixels))

    def _features(self, pixels: Tensor) -> Tensor:
        if self.input_size is not None and sides(pixels) != (self.input_size, self.input_size):
            size = (self.input_size, self.input_size)
            pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
        if self.spec.feature in ("neck", "diffusion"):
            return timm_models.features(self.backbone, pixels)
        if self.spec.feature == "map":
            return self._registered_map(pixels)
        height, width = sides(pixels)
        grid = height // self.patch_size, width // self.patch_size
        pixels = pixels[..., : grid[0] * self.patch_size, : grid[1] * self.patch_size]
        tokens = self._tokens(pixels, grid)[:, timm_models.prefix_tokens(self.backbone) :]
        return tokens.transpose(1, 2).unflatten(-1, grid)

    def _registered_map(self, pixels: Tensor) -> Tensor:
        """The features of a registered model, checked to be a map for each window."""
        found = self.backbone(pixels)
        if not isinstance(found, Tensor) or found.ndim != 4 or len(found) != len(pixels):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"{self.name} must return a tensor (B, C, rows, columns) for {len(pixels)} windows, "
                             f"got {shape}")
        return found

    def _tokens(self, pixels: Tensor, grid: tuple[int, int]) -> Tensor:
        """All tokens, (B, prefix + N, C), with the positional embeddings resized to the grid."""
        if self.spec.position is None:
            return timm_models.features(self.backbone, pixels)
        prefix = self.positions.shape[1] - self._trained_grid[0] * self._trained_grid[1]
        table = resize_positions(self.positions, self._trained_grid, grid, prefix, self.spec.position)
        return timm_models.features(self.backbone, pixels, table)
