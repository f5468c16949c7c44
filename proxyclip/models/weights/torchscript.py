"""The tensors of a TorchScript archive, read without running the program in it.

OpenAI publishes CLIP as TorchScript. ``torch.jit.load`` runs the ``__setstate__`` of an archive, which can write files;
``torch.load(weights_only=True)`` refuses archives. Here the pickle that describes the modules is read with a few
harmless stand-ins for the names in it, the values come from the archive's storages, and from the code only the lists of
names are read.
"""

import io
import pickle
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor

#: Most modules that are visited, so that modules which hold each other end in an error.
MOST_MODULES = 100_000
_DTYPES = {
    "torch.HalfStorage": torch.float16, "torch.BFloat16Storage": torch.bfloat16, "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64, "torch.ByteStorage": torch.uint8, "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16, "torch.IntStorage": torch.int32, "torch.LongStorage": torch.int64,
    "torch.BoolStorage": torch.bool,
}
_NAMES = re.compile(r"^class (\w+)\(Module\):\n((?:  __(?:parameters|buffers)__ = \[.*\]\n)*)", re.MULTILINE)


class _Module:
    """An object of the archive with its attributes; its class is another one for each class of the program."""

    kind: str
    attributes: dict[str, object] = {}

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):  # the state of a class with a __setstate__ may be anything; it is not called
            self.attributes = state


def _rebuilt(flat: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    return flat.as_strided(size, stride, offset)


#: What the names in a pickle stand for.
_KNOWN: dict[str, Any] = {"torch._utils._rebuild_tensor_v2": _rebuilt, "collections.OrderedDict": dict, **_DTYPES}

#: Python's own unpickler in Python, since that in C reserves as much memory as a damaged file asks for.
_InPython: Any = pickle._Unpickler


class _Unpickler(_InPython):
    """Reads modules, tensors, containers and numbers; nothing is imported, and another name is an error."""

    def __init__(self, pickled: bytes, storage: Callable[[Any], Tensor]) -> None:
        super().__init__(io.BytesIO(pickled))
        self.persistent_load = storage

    def build(self) -> None:
        """Give an object its state; what is no module of the archive keeps its own."""
        if not isinstance(self.stack[-2], _Module):
            raise ValueError("its pickle changes what is no module")
        _InPython.dispatch[pickle.BUILD[0]](self)

    dispatch = {**_InPython.dispatch, pickle.BUILD[0]: build}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if module == "torch.jit._pickle":
            return lambda items, *_: items  # lists with the type of their elements
        if module.startswith("__torch__"):
            return type(name, (_Module,), {"kind": full})
        raise ValueError(f"its pickle refers to {full}, which TorchScript does not write")


def is_torchscript(archive: zipfile.ZipFile) -> bool:
    """Whether an archive holds a TorchScript program, by the constants that every program has."""
    return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Parameters and buffers of the module in an archive, on the CPU, as its ``state_dict`` would give them.

    Raises an error of any kind if the archive is damaged or uses what the networks of this package do not need.
    """
    root = archive.namelist()[0].split("/")[0]
    if f"{root}/byteorder" in archive.namelist() and archive.read(f"{root}/byteorder").decode() != sys.byteorder:
        raise ValueError("its numbers are in another byte order")
    storages: dict[str, Tensor] = {}

    def storage(place: tuple[str, torch.dtype, str, str, int]) -> Tensor:
        """All values of a storage, flat, by what the pickle says of it: its type, its number and its length."""
        _, dtype, number, _, length = place
        if number not in storages:
            content = bytearray(archive.read(f"{root}/data/{number}"))
            if len(content) != length * dtype.itemsize:
                raise ValueError(f"storage {number} holds {len(content)} bytes instead of {length} x {dtype}")
            storages[number] = torch.frombuffer(content, dtype=dtype) if length else torch.empty(0, dtype=dtype)
        return storages[number]

    module = _Unpickler(archive.read(f"{root}/data.pkl"), storage).load()
    names = _tensor_names(archive, root)
    visited = count(1)

    def tensors(module: _Module, prefix: str) -> Iterator[tuple[str, Tensor]]:
        if next(visited) > MOST_MODULES:
            raise ValueError(f"it holds more than {MOST_MODULES} modules")
        own = names[module.kind]
        for name, value in module.attributes.items():
            if isinstance(value, _Module):
                yield from tensors(value, f"{prefix}{name}.")
            elif isinstance(value, Tensor) and name in own:
                yield prefix + name, value

    if not isinstance(module, _Module):
        raise ValueError("it holds no module")
    return dict(tensors(module, ""))


def _tensor_names(archive: zipfile.ZipFile, root: str) -> dict[str, set[str]]:
    """Names of the parameters and buffers of every class; other attributes that are tensors are no weights."""
    found = {}
    for file in archive.namelist():
        if file.startswith(f"{root}/code/") and file.endswith(".py"):
            module = file.removeprefix(f"{root}/code/").removesuffix(".py").replace("/", ".")
            for kind, lists in _NAMES.findall(archive.read(file).decode()):
                found[f"{module}.{kind}"] = set(re.findall(r'"([^"]*)"', lists))
    return found
