"""Checkpoint files: the format is recognised by content, only tensors are read, and every one must fit."""

import argparse
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from proxyclip.models.weights.torchscript import is_torchscript, read_torchscript
from proxyclip.system.files import checked_file

State = dict[str, Tensor]

#: Keys under which training frameworks store the weights in a checkpoint, in the order of preference. The training
#: checkpoints of DINO and DINOv2 hold a student and a teacher; the authors publish the teacher.
NESTS = ("state_dict", "model", "teacher")
#: Prefixes that wrappers add to every name (DistributedDataParallel; DINO's multi-crop wrapper; torch.compile; FSDP).
WRAPPERS = ("module.", "backbone.", "_orig_mod.", "_fsdp_wrapped_module.")
#: By how many bytes the content of a zip archive may exceed its file: programs are compressed, storages are not.
COMPRESSED = 2**26


class Unreadable(ValueError):
    """Why a file is no checkpoint of tensors, as the end of a sentence."""


def read_state_dict(path: str | Path) -> tuple[State, bool]:
    """Read a checkpoint without executing any code in it; return its tensors and whether it is a TorchScript archive.

    Pickled checkpoints are read with ``torch.load(weights_only=True)``, safetensors with their own library, and
    TorchScript archives with :func:`proxyclip.models.weights.torchscript.read_torchscript`. The tensors are on the CPU,
    by name, without nesting and without the prefixes of wrappers. Raises ``ValueError`` if the file is damaged, is no
    checkpoint, or holds something other than tensors.
    """
    path = checked_file(path, "checkpoint")
    try:
        content, scripted = _content(path)
        return _tensors(content), scripted
    except Exception as error:  # whatever is wrong with a file shows in one of four libraries
        reason = str(error) if isinstance(error, Unreadable) else _why(path, error)
        raise ValueError(f"{path} cannot be read as a checkpoint of tensors: {reason}") from error


def _content(path: Path) -> tuple[object, bool]:
    """What a file holds, and whether it is a TorchScript archive."""
    with open(path, "rb") as file:
        start = file.read(9)
    if start.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            content = sum(one.file_size for one in archive.infolist())
            if content > path.stat().st_size + COMPRESSED:
                raise Unreadable(f"it would expand to {content / 2**20:,.0f} MiB")
            if is_torchscript(archive):
                return read_torchscript(archive), True
            if (damaged := archive.testzip()) is not None:
                raise Unreadable(f"it is damaged: the checksum of {damaged} in it is wrong")
    length = int.from_bytes(start[:8], "little")  # safetensors begin with the length of a header in JSON
    if len(start) == 9 and start[8:] == b"{" and 2 <= length <= path.stat().st_size - 8:
        return safetensors.torch.load_file(path), False
    with torch.serialization.safe_globals([argparse.Namespace]):  # DINO stores its options beside the weights
        return torch.load(path, map_location="cpu", weights_only=True), False


def _why(path: Path, error: Exception) -> str:
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except OSError as refused:
        return f"it cannot be opened ({refused.strerror})"
    if not start:
        return "it is empty"
    if start.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file it points to"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "it is a web page; the download did not give the file"
    if "GLOBAL" in str(error):
        return "it holds Python objects other than tensors, which are not loaded for safety"
    return f"it is damaged or of another format ({type(error).__name__})"


def _tensors(content: object) -> State:
    """Find the dictionary of tensors in a checkpoint and remove the prefixes of wrappers."""
    while isinstance(content, Mapping) and (nested := [content[key] for key in NESTS
                                                       if isinstance(content.get(key), Mapping)]):
        content = nested[0]
    if not isinstance(content, Mapping) or not content:
        raise Unreadable(f"it holds a {type(content).__name__}")
    if odd := [repr(name) for name in content if not isinstance(name, str)]:
        raise Unreadable(f"{abbreviate(odd)} in it is no name")
    if odd := [name for name, value in content.items() if not _is_plain(value)]:
        raise Unreadable(f"{abbreviate(odd)} in it is no tensor of plain numbers")
    state = dict(content)
    if of_teacher := {name.removeprefix("teacher."): value for name, value in state.items()
                      if name.startswith("teacher.")}:  # flat, beside "student."
        state = of_teacher
    count = len(state)
    while prefix := next((prefix for prefix in WRAPPERS if any(name.startswith(prefix) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    # DINOv2 trains its blocks in chunks: "blocks.2.13." is block 13
    state = {re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name): value for name, value in state.items()}
    if len(state) < count:
        raise Unreadable("some of its tensors have the same name but for the prefix of a wrapper")
    return state


def _is_plain(value: object) -> bool:
    return (isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
            and not value.is_complex() and not value.is_quantized)


def load_strictly(
    module: nn.Module, state: Mapping[str, Tensor], path: str | Path, name: str, hint: Callable[[], str] = str
) -> None:
    """Load a checkpoint into a module; names and shapes of both must be the same, and every number finite.

    The ``ValueError`` names the tensors, with ``path`` and ``name`` for file and model, and ends with what ``hint``
    says about the file.
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
    if broken := [key for key, value in state.items() if not torch.isfinite(value).all()]:
        raise ValueError(f"{path} holds numbers that are not finite (NaN or infinite): {abbreviate(broken)}")
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
