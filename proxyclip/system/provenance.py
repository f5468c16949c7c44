"""Provenance of a result: digests of weights, versions of packages, the device."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

import torch
from torch import nn


def digest_of_weights(module: nn.Module) -> str:
    """Return the SHA-256 of a module's parameters and buffers, which identifies the weights in use.

    The positional embedding that a :class:`proxyclip.models.vfm.VFM` resizes is taken as it was loaded.
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


@cache
def digest_of_package() -> str:
    """Return the SHA-256 of this package's modules, read at the first call: it identifies the code that measures."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


#: Packages whose version can move a number.
PACKAGES = ("proxyclip", "torch", "torchvision", "open_clip_torch", "timm", "diffusers", "transformers", "numpy",
            "pandas", "papermill", "jupyter-book")


def versions() -> dict[str, str | None]:
    """Version of each package, None where it is not installed."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def device_line() -> str:
    """Processor and accelerators, in one line."""
    cpu = f"{platform.machine()}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        gpus = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return f"{gpus} (CUDA {torch.version.cuda}); {cpu}"
    return f"no GPU; {cpu}"
