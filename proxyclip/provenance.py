"""Everything that changes the counts of an evaluation, as JSON values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

import proxyclip
from proxyclip.datasets import Dataset
from proxyclip.rules import Rule
from proxyclip.segment import ProxyCLIP

#: Raised by whoever changes the method in a way that changes its labels: saved progress then starts anew.
METHOD_VERSION = 1


def settings_of(
    model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], count: int, on_error: str
) -> dict[str, Any]:
    """Describe an evaluation so that equal descriptions mean equal counts.

    Parameters
    ----------
    model : ProxyCLIP
        Under the protocol of ``data``.
    data : Dataset
    rules : sequence of Rule
    count : int
        The first ``count`` samples are evaluated.
    on_error : str

    Returns
    -------
    dict of JSON values
    """
    templates = [template("{}") for template in model.clip.templates]
    return {
        "method": METHOD_VERSION,
        "package": proxyclip.__version__,
        "torch": torch.__version__,
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
        "clip": {"name": model.clip.name, "weights": digest_of_weights(model.clip.model)},
        "vfm": None
        if model.vfm is None
        else {"name": model.vfm.name, "weights": digest_of_weights(model.vfm)},
        "templates": _digest(json.dumps(templates).encode()),
        "dataset": data.signature(),
        "vocabulary": _digest("\n".join(data.vocabulary.plain()).encode()),
        "protocol": {**asdict(data.protocol), "pad_multiple": model.pad_multiple},
        "rules": [rule.name for rule in rules],
        "images": count,
        "on_error": on_error,
    }


def digest_of_weights(module: nn.Module) -> str:
    """Return the SHA-256 of a module's parameters and buffers: the weights in use, wherever they came from.

    The positional embedding that a :class:`proxyclip.vfm.VFM` resizes is taken as it was loaded.
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if "positions" in tensors:
        tensors.pop("backbone.pos_embed", None)
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
