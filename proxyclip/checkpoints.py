"""Weights in: from the package, from the hubs, from files in upstream formats."""

from __future__ import annotations

import hashlib
from pathlib import Path

import open_clip
import timm
import torch
from torch import Tensor, nn

from proxyclip.vfm import VFMSpec


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a checkpoint file without executing anything in it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file holds something other than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint: {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a checkpoint of tensors: {type(error).__name__}") from error
    for key in ("state_dict", "model"):
        if isinstance(checkpoint, dict) and isinstance(checkpoint.get(key), dict):
            checkpoint = checkpoint[key]
    return checkpoint


def build_clip(architecture: str, weights: str | Path | None) -> tuple[open_clip.model.CLIP, str | None]:
    """Build an open_clip model and load its weights.

    Parameters
    ----------
    architecture : str
        open_clip's name, for example ``"ViT-B-16-quickgelu"``.
    weights : path, open_clip's pretrained tag, "random" or None
        None takes ``"openai"``; ``"random"`` leaves the model untrained.

    Returns
    -------
    (model, SHA-256 of the file or None)
    """
    if architecture not in open_clip.list_models():
        raise ValueError(f"unknown CLIP architecture {architecture!r}; see open_clip.list_models()")
    if weights == "random":
        return open_clip.create_model(architecture, pretrained=None, device=torch.get_default_device()), None
    raise NotImplementedError


def build_vfm_backbone(name: str, spec: VFMSpec, weights: str | Path | None) -> tuple[nn.Module, str | None]:
    """Build the bare model of a registry row and load its weights (see :func:`proxyclip.vfm.load_vfm`)."""
    if spec.source == "tiny":
        from proxyclip.tiny import models

        return (models.build(spec.model), None) if weights == "random" else (models.load(spec.model), None)
    if weights == "random":
        return timm.create_model(spec.model, pretrained=False, num_classes=0), None
    raise NotImplementedError
