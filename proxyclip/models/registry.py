"""The foundation models as data: one row for each name that ``pc.load(vfm=...)`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        Mode of :func:`proxyclip.models.positions.resize_positions`; None where the model resizes none (rotary, SAM).
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


def check_vfm_name(name: str) -> VFMSpec:
    """The registry's row, or a ValueError that lists what there is."""
    if name not in VFMS:
        raise ValueError(f"unknown VFM {name!r}; allowed are {', '.join(sorted(VFMS))}")
    return VFMS[name]
