"""Provenance of a result: digests of weights, versions of packages, the device."""

import hashlib
import inspect
import json
import os
import platform
import re
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

import torch
from torch import nn

from proxyclip.system.own_files import what_it_does


def digest_of_weights(module: nn.Module) -> str:
    """Return the SHA-256 of a module's parameters and buffers, which identifies the weights in use.

    The positional embedding that a :class:`proxyclip.models.vfm.VFM` resizes is taken as it was loaded, and a user's
    own model with its ``definition``.
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if "positions" in tensors:
        tensors.pop("backbone.pos_embed", None)
    digest = hashlib.sha256(getattr(module, "definition", "").encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def digest_of_own(module: nn.Module, how: object) -> str:
    """SHA-256 of a user's module: weights, attributes, source of the classes, and ``how`` it is read."""
    digest = hashlib.sha256(f"{digest_of_weights(module)} {how!r}".encode())
    counted = dict.fromkeys(("training", "_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"))
    for name, part in module.named_modules():
        held = json.dumps(vars(part) | counted, skipkeys=True, default=lambda value: (
            digest_of_weights(value) if isinstance(value, nn.Module) else value.tolist() if hasattr(value, "tolist")
            else re.sub(r" at 0x[0-9a-f]+", "", repr(value))))  # what is the same in every run
        digest.update(f"{name} {held}\n".encode())
    for kind in dict.fromkeys(map(type, module.modules())):
        with suppress(OSError, TypeError):  # a class that comes from no file
            digest.update(inspect.getsource(kind).encode())
    return digest.hexdigest()


#: The package, whose code the digests below are of.
PACKAGE = Path(__file__).resolve().parents[1]

#: What an evaluation computes with: files and folders of the package.
METHOD = ("attention.py", "segment.py", "text.py", "rules", "models", "inference", "evaluation", "data/*.*",
          "tiny/world", "tiny/*.*")

#: What a chapter measures with, besides.
CHAPTERS = ("supplement", "efficiency.py", "system/timing.py")


def digest_of_method() -> str:
    """Return the SHA-256 of the code that evaluations run, without its comments and docstrings."""
    return digest_of_code(METHOD)


def digest_of_chapters() -> str:
    """Return the SHA-256 of the code that chapters run, without its comments and docstrings."""
    return digest_of_code(METHOD + CHAPTERS)


def digest_of_code(parts: tuple[str, ...], package: Path = PACKAGE) -> str:
    """Return the SHA-256 of what modules and tables say, read at the first call, without comments and layout.

    ``parts`` are files, folders (with all below them) and patterns of files, relative to the package.
    """
    return hashlib.sha256(b"".join(_digest_of_part(part, package) for part in parts)).hexdigest()


@cache
def _digest_of_part(part: str, package: Path) -> bytes:
    digest = hashlib.sha256()
    found = [path for given in package.glob(part) for path in ([given] if given.is_file() else given.rglob("*.*"))]
    for path in sorted(path for path in found if path.suffix in (".py", ".toml")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + what_it_does(path))
    return digest.digest()


#: Packages whose version can move a number.
PACKAGES = ("proxyclip", "torch", "torchvision", "open_clip_torch", "timm", "diffusers", "transformers", "numpy",
            "pandas", "papermill", "jupyter-book")


def versions() -> dict[str, str | None]:
    """Version of each package, None where it is not installed."""
    found: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def device_line() -> str:
    """Processor and accelerators, in one line."""
    cpu = f"{platform.machine()}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
    if torch.cuda.is_available():
        gpus = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        return f"{gpus} (CUDA {torch.version.cuda}); {cpu}"
    return f"no GPU; {cpu}"
