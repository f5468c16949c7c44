"""Vision foundation models: a window of pixels in, a grid of patch features out. One registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxyclip.positions import resize_positions
from proxyclip.relative_attention import share_relative_attention

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
#: Mean and deviation that bring pixels to -1..1, what an autoencoder takes.
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class VFMSpec:
    """One row of the registry.

    Parameters
    ----------
    family : str
        Name of the family in figures and tables ("DINO", "SAM", ...).
    model : str
        timm architecture with pretrained tag, a repository of diffusers, or the name of a tiny model.
    feature : {"tokens", "neck", "diffusion"}
        Last-layer normalised patch tokens, or the output of SAM's convolutional neck, or a U-Net's block.
    position : str or None
        Mode of :func:`proxyclip.positions.resize_positions`; None where the model resizes none (rotary, SAM).
    input_size : int or None
        Side in pixels to which every window is resized first; ``"crop"`` is the sliding window's, None feeds the
        window as it is.
    mean, std : three floats
        Normalisation of pixels in 0..1.
    source : {"timm", "tiny", "diffusers"}
    """

    family: str
    model: str
    feature: Literal["tokens", "neck", "diffusion"] = "tokens"
    position: str | None = "bicubic"
    input_size: int | Literal["crop"] | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    source: Literal["timm", "tiny", "diffusers"] = "timm"


def _sizes(template: str, **names: str) -> dict[str, str]:
    return {short: template.format(long) for short, long in names.items()}


_DINO = _sizes("vit_{}_224.dino", dino_vits8="small_patch8", dino_vits16="small_patch16", dino_vitb8="base_patch8",
               dino_vitb16="base_patch16")
_DINOV2 = _sizes("vit_{}_patch14_dinov2.lvd142m", dinov2_vits14="small", dinov2_vitb14="base", dinov2_vitl14="large")
_DINOV2_REG = _sizes("vit_{}_patch14_reg4_dinov2.lvd142m", dinov2_vits14_reg="small", dinov2_vitb14_reg="base",
                     dinov2_vitl14_reg="large")
# the variant with the query and value biases of the published checkpoints; timm's plain one leaves them out
_DINOV3 = _sizes("vit_{}_patch16_dinov3_qkvb.lvd1689m", dinov3_vits16="small", dinov3_vitb16="base")
_MAE = _sizes("vit_{}_patch16_224.mae", mae_vitb16="base", mae_vitl16="large")
_SD = {"sd15": "stable-diffusion-v1-5/stable-diffusion-v1-5", "sd21": "stabilityai/stable-diffusion-2-1"}
_SAM = _sizes("samvit_{}_patch16.sa1b", sam_vit_b="base", sam_vit_l="large", sam_vit_h="huge")

#: Every vision foundation model by the name that ``pc.load(vfm=...)`` takes.
VFMS: dict[str, VFMSpec] = {
    **{name: VFMSpec("DINO", model, position="bicubic-offset") for name, model in _DINO.items()},
    **{name: VFMSpec("DINOv2", model, position="bicubic-offset") for name, model in _DINOV2.items()},
    **{name: VFMSpec("DINOv2", model, position="bicubic-antialias") for name, model in _DINOV2_REG.items()},
    **{name: VFMSpec("DINOv3", model, position=None) for name, model in _DINOV3.items()},
    **{name: VFMSpec("MAE", model, input_size="crop") for name, model in _MAE.items()},
    **{name: VFMSpec("SAM", model, feature="neck", position=None, input_size=1024) for name, model in _SAM.items()},
    **{name: VFMSpec("Stable Diffusion", model, feature="diffusion", position=None, input_size=672, mean=HALF, std=HALF,
                     source="diffusers") for name, model in _SD.items()},
    "tiny_dino": VFMSpec("DINO", "tiny_dino", source="tiny"),
    "tiny_dino8": VFMSpec("DINO", "tiny_dino8", source="tiny"),
    "tiny_dinov2": VFMSpec("DINOv2", "tiny_dinov2", source="tiny"),
    "tiny_mae": VFMSpec("MAE", "tiny_mae", source="tiny"),
    "tiny_sam": VFMSpec("SAM", "tiny_sam", feature="neck", position=None, input_size="crop", source="tiny"),
    "tiny_sd": VFMSpec("Stable Diffusion", "tiny_sd", feature="diffusion", position=None, mean=HALF, std=HALF,
                       source="tiny"),
}


class VFM(nn.Module):
    """A vision foundation model read as a grid of patch features.

    Parameters
    ----------
    backbone : nn.Module
        A timm Vision Transformer (``"tokens"``), a SAM encoder (``"neck"``) or a
        :class:`proxyclip.diffusion.DiffusionFeatures` (``"diffusion"``).
    spec : VFMSpec
    name : str
    crop : int
        Side of the sliding window, for models whose input is resized to it.
    sha256 : str or None
        Of the weights file; None for untrained weights.
    """

    def __init__(self, backbone: nn.Module, spec: VFMSpec, name: str, crop: int, sha256: str | None = None) -> None:
        super().__init__()
        self.sha256 = sha256
        self.backbone = backbone.eval().requires_grad_(False)
        self.spec = spec
        self.name = name
        self.input_size = crop if spec.input_size == "crop" else spec.input_size
        if spec.feature == "neck":
            share_relative_attention(self.backbone)
        if spec.position is not None:
            self.register_buffer("positions", backbone.pos_embed.detach().clone(), persistent=False)
            self._trained_grid = tuple(backbone.patch_embed.grid_size)
            self._grid = self._trained_grid
            backbone.patch_embed.strict_img_size = False  # windows of any size; positions are placed here

    @property
    def patch_size(self) -> int:
        """Side in pixels of the input patch behind one feature."""
        return self.backbone.patch_embed.patch_size[0]

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels in 0..1, (..., 3, H, W), to the model's normalisation, in the dtype of the pixels."""
        mean, std = (pixels.new_tensor(three)[:, None, None] for three in (self.spec.mean, self.spec.std))
        return (pixels - mean) / std

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """Patch features of a batch of windows.

        Parameters
        ----------
        pixels : (B, 3, H, W) float
            Normalised with :meth:`normalize`.

        Returns
        -------
        (B, C, rows, columns) float
            Not normalised.
        """
        if self.input_size is not None and tuple(pixels.shape[-2:]) != (self.input_size, self.input_size):
            size = (self.input_size, self.input_size)
            pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
        if self.spec.feature in ("neck", "diffusion"):
            return self.backbone.forward_features(pixels)
        grid = tuple(side // self.patch_size for side in pixels.shape[-2:])
        pixels = pixels[..., : grid[0] * self.patch_size, : grid[1] * self.patch_size]
        if self.spec.position is not None:
            self._place_positions(grid)
        tokens = self.backbone.forward_features(pixels)[:, self.backbone.num_prefix_tokens :]
        return tokens.transpose(1, 2).unflatten(-1, grid)

    def _place_positions(self, grid: tuple[int, int]) -> None:
        """Give the backbone its positional embeddings on this grid; kept until the grid changes."""
        if grid == self._grid:
            return
        prefix = self.positions.shape[1] - self._trained_grid[0] * self._trained_grid[1]
        table = resize_positions(self.positions, self._trained_grid, grid, prefix, self.spec.position)
        self.backbone.pos_embed = nn.Parameter(table, requires_grad=False)
        self._grid = grid


def check_vfm_name(name: str) -> VFMSpec:
    """The registry's row, or a ValueError that lists what there is."""
    if name not in VFMS:
        raise ValueError(f"unknown VFM {name!r}; allowed are {', '.join(sorted(VFMS))}")
    return VFMS[name]


def load_vfm(
    name: str, weights: str | PathLike[str] | None = None, crop: int = 336, options: Mapping[str, Any] | None = None
) -> VFM:
    """Build a vision foundation model and load its weights.

    Parameters
    ----------
    name : str
        A key of :data:`VFMS`.
    weights : path, "random" or None
        A checkpoint of the authors or of timm, or a diffusers folder for Stable Diffusion. None takes the published
        weights (the hub, or the package for tiny models); ``"random"`` leaves the model untrained, for measurements
        of speed.
    crop : int
        Side of the sliding window in pixels.
    options : mapping, optional
        Which block of Stable Diffusion is read and how: ``block``, ``timestep``, ``multiple`` and ``seed`` of
        :class:`proxyclip.diffusion.DiffusionFeatures`.

    Raises
    ------
    ValueError
        If the name is unknown, the file does not fit, or an option is not allowed.
    FileNotFoundError
        If the file does not exist, or the hub cannot be reached.
    """
    from proxyclip.checkpoints import build_vfm_backbone

    spec = check_vfm_name(name)
    backbone, sha256 = build_vfm_backbone(name, spec, weights, options)
    return VFM(backbone, spec, name, crop, sha256)


