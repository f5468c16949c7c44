"""``proxyclip.load``: from names and files to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import open_clip
import torch

from proxyclip.checkpoints import build_clip
from proxyclip.clip import DenseCLIP
from proxyclip.compiled import compile_blocks
from proxyclip.segment import ProxyCLIP
from proxyclip.vfm import check_vfm_name, load_vfm

#: Name of the tiny CLIP, which is no open_clip architecture.
TINY_CLIP = "tiny_clip"


@dataclass(frozen=True)
class Profile:
    """Defaults of a profile: which models, which windows (pixels)."""

    clip: str
    vfm: str
    window: int
    stride: int
    pad_multiple: int


PROFILES = {
    "tiny": Profile(TINY_CLIP, "tiny_sam", window=64, stride=32, pad_multiple=8),
    "paper": Profile("ViT-B-16-quickgelu", "dino_vitb8", window=336, stride=112, pad_multiple=56),
}


def load(
    profile: str | None = None,
    *,
    clip: str | None = None,
    clip_weights: str | PathLike[str] | None = None,
    vfm: str | None = "default",
    vfm_weights: str | PathLike[str] | None = None,
    vfm_options: Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    window: int | None = None,
    stride: int | None = None,
    short_side: int | None = None,
    compile: bool = False,
) -> ProxyCLIP:
    """Build a model.

    Parameters
    ----------
    profile : {"tiny", "paper"}, optional
        Defaults for everything else. ``"tiny"`` (the default) works offline on the models shipped with the package;
        ``"paper"`` takes OpenAI's CLIP ViT-B/16 and DINO ViT-B/8 from their hubs. Naming a full-size ``clip`` selects
        ``"paper"``.
    clip : str, optional
        An open_clip architecture.
    clip_weights, vfm_weights : path, "random" or None
        A file in the upstream project's format; ``"random"`` for untrained weights; None for the published ones.
        ``clip_weights`` also takes open_clip's names of published weights.
    vfm : str or None, optional
        A key of :data:`proxyclip.vfm.VFMS`; None loads none, for the rules that read CLIP alone.
    vfm_options : mapping, optional
        For Stable Diffusion: ``block``, ``timestep``, ``multiple`` and ``seed`` of
        :class:`proxyclip.diffusion.DiffusionFeatures`.
    device, dtype
        Where and in which precision the backbones run. Half precision needs a GPU.
    window, stride : int, optional
        Side and step of the sliding window, pixels: 336 and 112 (paper), 64 and 32 (tiny).
    short_side : int, optional
        Resize the image's short side to this first; None keeps the image's size.
    compile : bool
        Let ``torch.compile`` fuse the transformer blocks of both backbones (:func:`proxyclip.compiled.compile_blocks`).

    Returns
    -------
    ProxyCLIP

    Raises
    ------
    ValueError
        If a name, size or precision is not allowed; the sentence says what is.
    FileNotFoundError
        If weights are neither in a file, nor in the cache, nor to be had from their hub.
    """
    if profile is None:
        profile = "tiny" if clip in (None, TINY_CLIP) else "paper"
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    defaults = PROFILES[profile]
    device = torch.device(device)
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise ValueError(f"dtype must be float32, float16 or bfloat16, got {dtype}")
    if dtype != torch.float32 and device.type == "cpu":
        raise ValueError(f"{str(dtype).removeprefix('torch.')} needs a GPU; on the CPU the dtype is float32")
    vfm = defaults.vfm if vfm == "default" else vfm
    window, stride = window or defaults.window, stride or defaults.stride
    if vfm is not None:
        check_vfm_name(vfm)
    dense_clip, clip_sha256 = _load_clip(clip or defaults.clip, clip_weights)
    vision = None if vfm is None else load_vfm(vfm, vfm_weights, crop=window, options=vfm_options)
    provenance = {"profile": profile, "clip": dense_clip.name, "clip_sha256": clip_sha256,
                  "vfm": vfm, "vfm_sha256": None if vision is None else vision.sha256}
    model = ProxyCLIP(
        clip=dense_clip.to(device=device, dtype=dtype),
        vfm=None if vision is None else vision.to(device=device, dtype=dtype),
        window=window, stride=stride, short_side=short_side, pad_multiple=defaults.pad_multiple,
        device=device, dtype=dtype, provenance=provenance,
    )
    if compile:
        compile_blocks(model)
    return model


def _load_clip(architecture: str, weights: str | PathLike[str] | None) -> tuple[DenseCLIP, str | None]:
    """A readable CLIP with its tokenizer, prompts and normalisation."""
    if architecture == TINY_CLIP:
        return _load_tiny_clip(weights)
    loaded = build_clip(architecture, weights)
    tag = "openai" if weights is None else str(weights)
    dense = DenseCLIP(
        loaded.model, open_clip.get_tokenizer(architecture), loaded.mean, loaded.std,
        open_clip.OPENAI_IMAGENET_TEMPLATES, name=f"{architecture} ({tag})",
    )
    return dense, loaded.sha256


def _load_tiny_clip(weights: str | PathLike[str] | None) -> tuple[DenseCLIP, str | None]:
    """The tiny world's CLIP, with its own words and prompts."""
    from proxyclip.tiny import captions, models

    if weights == "random":
        model, sha256 = models.build(TINY_CLIP), None
    else:
        path = models.WEIGHTS / f"{TINY_CLIP}.safetensors" if weights is None else Path(weights)
        model, sha256 = models.load(TINY_CLIP, None if weights is None else path), models.sha256(path)
    templates = [template.format for template in captions.TEMPLATES]
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    return DenseCLIP(model, models.tokenizer(), mean, std, templates, name="tiny_clip"), sha256
