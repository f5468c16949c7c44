"""Read the lists of names that come with the official downloads, and turn their numbers into class ids."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proxyclip.data.prepare.annotations import matlab_variable
from proxyclip.data.samples import DataError, SampleError, read_text


def numbered_names(path: Path) -> dict[int, str]:
    """Read a list of lines like ``12: air conditioner``; :class:`DataError` when it cannot be read or has other lines.
    """
    names = {}
    for place, line in enumerate(read_text(path, "list of names").splitlines(), start=1):
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*(\d+)\s*:\s*(.+?)\s*", line)
        if not found:
            raise DataError(f'{path}, line {place}: "{line.strip()}" is not of the form "12: name"')
        names[int(found[1])] = found[2]
    if not names:
        raise DataError(f"{path}: an empty list of names")
    return names


class _SafeUnpickler(pickle.Unpickler):
    """Reads containers, numbers, strings and NumPy arrays, and refuses anything that could run code."""

    ALLOWED = {
        ("numpy", "ndarray"), ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
        ("_codecs", "encode"),
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module, name)


def ade_object_names(release: Path) -> list[str]:
    """The names of all objects in the index of a full ADE20K release: ``objectnames`` of index_ade20k.pkl or .mat."""
    pickled, matlab = release / "index_ade20k.pkl", release / "index_ade20k.mat"
    if pickled.is_file():
        try:
            names = _SafeUnpickler(io.BytesIO(pickled.read_bytes())).load()["objectnames"]
            return [str(name) for name in names]
        except (pickle.UnpicklingError, KeyError, TypeError, EOFError, AttributeError, IndexError) as error:
            raise DataError(f"{pickled}: not the index of ADE20K ({error})") from error
    if matlab.is_file():
        try:
            index = matlab_variable(matlab, "index", squeeze_me=True, struct_as_record=False)
            return [str(name) for name in index.objectnames]
        except (SampleError, AttributeError, TypeError) as error:
            raise DataError(f"{matlab}: not the index of ADE20K ({error})") from error
    raise DataError(f"{release}: no index_ade20k.pkl or index_ade20k.mat; is this the full ADE20K release?")


#: Names that an official file has for a class of another official list: category 397 of ``trainval_merged.json``.
_ALIASES = {"diningtable": "table"}


def plain_name(name: str) -> str:
    """Reduce a class name to its letters and digits in lower case, which all spellings of it share."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def match_names(class_names: Sequence[str], offered: Mapping[int, str], where: str) -> dict[int, int]:
    """Match class names with the numbered names of a release: the class id of each number that has one.

    Every class needs one; ``where`` names the list of the release in the error.
    """
    classes = {plain_name(name): index for index, name in enumerate(class_names)}
    found = {}
    for number, name in offered.items():
        spelled = plain_name(name)
        index = classes.get(spelled, classes.get(_ALIASES.get(spelled, "")))
        if index is not None:
            found[number] = index
    missing = [name for index, name in enumerate(class_names) if index not in set(found.values())]
    if missing:
        raise DataError(f"{where}: {len(missing)} classes have no entry there, the first is {missing[0]!r}")
    return found


def lookup_table(classes: Mapping[int, int], rest: int, size: int) -> np.ndarray:
    """Table from a release's numbers to stored labels, (size,) uint16; numbers without a class become ``rest``."""
    table = np.full(size, rest, np.uint16)
    for number, index in classes.items():
        table[number] = index
    return table


def translate(numbers: np.ndarray, table: np.ndarray, path: Path) -> np.ndarray:
    """Apply a table; raises :class:`SampleError` when a number exceeds it."""
    if numbers.size and (numbers.min() < 0 or numbers.max() >= len(table)):
        last = len(table) - 1
        raise SampleError(path, f"holds the number {int(numbers.max())}; the release's list ends at {last}")
    return table[numbers]
