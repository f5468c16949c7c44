"""The tensors of a TorchScript archive, read without running the program in it.

OpenAI publishes CLIP as TorchScript. ``torch.jit.load`` runs the ``__setstate__`` of an archive, which can write files;
``torch.load(weights_only=True)`` refuses archives. Here the pickle that describes the modules is interpreted by a
machine that knows a few opcodes and calls nothing, the values come from the archive's storages, and from the code only
the lists of names are read.
"""

from __future__ import annotations

import pickletools
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor

#: Most modules that are visited, so that modules which hold each other end in an error.
MOST_MODULES = 100_000
#: Opcodes that push their own argument or a constant.
_ARGUMENTS = ("BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
_CONSTANTS: dict[str, Callable[[], object]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_DICT": dict, "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_DTYPES = {
    "torch.HalfStorage": torch.float16, "torch.BFloat16Storage": torch.bfloat16, "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64, "torch.ByteStorage": torch.uint8, "torch.CharStorage": torch.int8,
    "torch.ShortStorage": torch.int16, "torch.IntStorage": torch.int32, "torch.LongStorage": torch.int64,
    "torch.BoolStorage": torch.bool,
}
_NAMES = re.compile(r"^class (\w+)\(Module\):\n((?:  __(?:parameters|buffers)__ = \[.*\]\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class _Global:
    """A name that a pickle would import; nothing is imported."""

    name: str


@dataclass
class _Module:
    kind: str
    attributes: dict[str, object] = field(default_factory=dict)


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

    def storage(place: tuple[str, _Global, str, str, int]) -> Tensor:
        """All values of a storage, flat, by what the pickle says of it: its type, its number and its length."""
        _, kind, number, _, length = place
        if number not in storages:
            content = bytearray(archive.read(f"{root}/data/{number}"))
            dtype = _DTYPES[kind.name]
            if len(content) != length * dtype.itemsize:
                raise ValueError(f"storage {number} holds {len(content)} bytes instead of {length} x {dtype}")
            storages[number] = torch.frombuffer(content, dtype=dtype) if length else torch.empty(0, dtype=dtype)
        return storages[number]

    module = _interpret(archive.read(f"{root}/data.pkl"), storage)
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


def _interpret(pickled: bytes, storage: Callable[[Any], Tensor]) -> object:
    """What a pickle describes, with :class:`_Module` for every object; an unknown opcode or function is an error."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[object, Any] = {}

    def take(start: int) -> list[Any]:
        """Remove the top of the stack, from ``start`` on."""
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, value, _ in pickletools.genops(pickled):
        name = opcode.name
        if name in _ARGUMENTS:
            stack.append(value)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name]())
        elif name == "GLOBAL":
            stack.append(_Global(str(value).replace(" ", ".")))
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(take(marks.pop() if name == "TUPLE" else len(stack) - int(name[-1]))))
        elif name == "SETITEMS":
            items = take(marks.pop())
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPENDS", "APPEND"):
            items = take(marks.pop() if name == "APPENDS" else len(stack) - 1)
            stack[-1].extend(items)
        elif name == "BINPERSID":
            stack.append(storage(stack.pop()))
        elif name == "NEWOBJ":
            kind, _ = take(len(stack) - 2)
            stack.append(_Module(kind.name))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(state, dict):  # the state of a class with a __setstate__ may be anything; it is not called
                stack[-1].attributes = state
        elif name == "REDUCE":
            function, arguments = take(len(stack) - 2)
            stack.append(_value_of(function, arguments))
        elif name == "STOP":
            return stack.pop()
        elif name != "PROTO":
            raise ValueError(f"its pickle has the opcode {name}, which TorchScript does not write")
    raise ValueError("its pickle has no end")


def _value_of(function: _Global, arguments: tuple[Any, ...]) -> object:
    """What the few functions in a TorchScript pickle would return."""
    if function.name == "torch._utils._rebuild_tensor_v2":
        flat, offset, size, stride = arguments[:4]
        return flat.as_strided(size, stride, offset)
    if function.name == "collections.OrderedDict":
        return {}
    if function.name.startswith("torch.jit._pickle."):  # lists with the type of their elements
        return arguments[0]
    raise ValueError(f"its pickle calls {function.name}, which TorchScript does not")
