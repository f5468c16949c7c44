"""Checkpoint files: the format is recognised by content, only tensors are read, and every one must fit."""

from __future__ import annotations

import argparse
import hashlib
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

State = dict[str, Tensor]

#: Keys under which training frameworks store the weights in a checkpoint, in the order of preference. DINO's full
#: checkpoints hold a student and a teacher; the authors publish the teacher.
NESTS = ("state_dict", "model", "teacher")
#: Prefixes that wrappers add to every name (DistributedDataParallel; DINO's multi-crop wrapper; torch.compile).
WRAPPERS = ("module.", "backbone.", "_orig_mod.")


def sha256_of(*paths: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits; of several, that of their digests in the given order."""
    digests = []
    for path in paths:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_state_dict(path: str | Path) -> tuple[State, bool]:
    """Read a checkpoint without executing any code in it.

    Pickled checkpoints are read with ``torch.load(weights_only=True)``, safetensors with their own library. OpenAI
    publishes CLIP as TorchScript archives, which ``weights_only`` does not read. They are read with ``torch.jit.load``;
    only the parameters of the program in them are taken, and it is never called.

    Parameters
    ----------
    path : path
        With any ending.

    Returns
    -------
    (state, scripted)
        Tensors by name, without nesting and without the prefixes of wrappers, on the CPU; whether the file is a
        TorchScript archive.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, is no checkpoint, or holds something other than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint: {path}")
    scripted = _is_torchscript(path)
    try:
        if scripted:
            with warnings.catch_warnings():  # TorchScript is deprecated, but OpenAI's files will not change
                warnings.simplefilter("ignore", DeprecationWarning)
                content = torch.jit.load(path, map_location="cpu").state_dict()
        elif _is_safetensors(path):
            content = safetensors.torch.load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # DINO stores its options beside the weights
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a checkpoint of tensors: {_why(path, error)}") from error
    return _tensors(content, path), scripted


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _is_safetensors(path: Path) -> bool:
    """Whether the file begins with eight bytes for the length of a header and with the header itself, in JSON."""
    with open(path, "rb") as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    return len(start) == 9 and start[8:] == b"{" and 2 <= length <= path.stat().st_size - 8


def _why(path: Path, error: Exception) -> str:
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        return "it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file it points to"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page; the download did not give the file"
    if "GLOBAL" in str(error):
        return "it holds Python objects other than tensors, which are not loaded for safety"
    return f"it is damaged or of another format ({type(error).__name__})"


def _tensors(content: object, path: Path) -> State:
    """Find the dictionary of tensors in a checkpoint and remove the wrappers' prefixes."""
    while isinstance(content, Mapping) and (nested := [content[key] for key in NESTS
                                                       if isinstance(content.get(key), Mapping)]):
        content = nested[0]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} cannot be read as a checkpoint of tensors: it holds a {type(content).__name__}")
    odd = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise ValueError(f"{path} cannot be read as a checkpoint of tensors: {abbreviate(odd)} in it is no tensor")
    state = dict(content)
    while prefix := next((prefix for prefix in WRAPPERS if any(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], path: str | Path, name: str, hint: Callable[[], str] = str
) -> None:
    """Load a checkpoint into a module; the names and shapes of both must be the same.

    Parameters
    ----------
    module : nn.Module
    state : mapping of names to tensors
    path, name : str
        The file and the model, for the error.
    hint : callable
        Says what the file seems to be; called only for the error, at whose end its answer stands.

    Raises
    ------
    ValueError
        If names are missing or unexpected, or shapes differ; the sentence names them.
    """
    own = module.state_dict()
    problems = []
    if missing := [key for key in own if key not in state]:
        problems.append(f"missing {abbreviate(missing)}")
    if unexpected := [key for key in state if key not in own]:
        problems.append(f"unexpected {abbreviate(unexpected)}")
    if differing := [f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
                     for key, value in own.items() if key in state and state[key].shape != value.shape]:
        problems.append(f"of another shape {abbreviate(differing)}")
    if problems:
        raise ValueError(f"{path} does not fit {name}: {'; '.join(problems)}{hint()}")
    module.load_state_dict(state, strict=True)


def abbreviate(names: Iterable[str], shown: int = 4) -> str:
    """The first few of a list of names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def block_count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Number of consecutively numbered blocks whose names start with ``prefix``, a regular expression."""
    numbers = [int(match[1]) for key in state if (match := re.match(rf"{prefix}(\d+)\.", key))]
    return max(numbers, default=-1) + 1
