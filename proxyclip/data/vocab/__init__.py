"""Class names of the benchmarks, one file each: a line is a class, its queries are separated by "; ".

This is the format in which such lists are usually published, so a user's own list works in the same place. The first
query names the class, except where class 0 collects everything else: that class is called "background".
"""

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from proxyclip.data.samples import read_text
from proxyclip.text import Vocabulary

#: Lists whose class 0 collects what belongs to no other class.
_BACKGROUND = frozenset({"voc21", "context60", "coco_object"})


@cache
def load(name: str) -> Vocabulary:
    """Read the class list of a benchmark, such as ``"voc21"``."""
    vocabulary = parse(files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8"), f"{name}.txt")
    if name in _BACKGROUND:
        vocabulary = replace(vocabulary, names=("background", *vocabulary.names[1:]))
    return vocabulary


def read(path: str | Path) -> Vocabulary:
    """Read a class list from a file: one class per line, its queries separated by ``"; "``."""
    return parse(read_text(path, "class list"), str(path))


def parse(text: str, where: str) -> Vocabulary:
    """Turn the lines of a class list into a vocabulary; ``where`` names the list in errors."""
    lines = text.rstrip().splitlines()
    for number, line in enumerate(lines, start=1):
        if not any(query.strip() for query in line.split(";")):
            raise ValueError(f'{where}, line {number}: empty; each line is one class, like "sky; cloud"')
    if not lines:
        raise ValueError(f'{where}: empty; each line is one class, like "sky; cloud"')
    return Vocabulary.parse(lines)


def check_count(vocabulary: Vocabulary, classes: int, where: str) -> None:
    """Raise ``ValueError`` when a vocabulary does not have the number of classes that the labels use."""
    if len(vocabulary.names) != classes:
        raise ValueError(f"{where}: {len(vocabulary.names)} classes, the labels have {classes}")
