"""Class names of the benchmarks, one file each: a line is a class, its queries are separated by "; ".

The form is the one this field exchanges, so a user's own list works in the same place. The first query names
the class, except where class 0 is everything else: its words are called "background".
"""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from proxyclip.text import Vocabulary

#: Number of classes of each list, and with it the lists there are.
CLASSES: dict[str, int] = {
    "voc21": 21,
    "voc20": 20,
    "context60": 60,
    "context59": 59,
    "coco_object": 81,
    "coco_stuff": 171,
    "cityscapes": 19,
    "ade150": 150,
    "ade847": 847,
    "pc459": 459,
}

#: Lists whose class 0 collects what belongs to no other class.
_BACKGROUND = frozenset({"voc21", "context60", "coco_object"})


def load(name: str) -> Vocabulary:
    """Read the class list of a benchmark.

    Parameters
    ----------
    name : str
        One of ``CLASSES``.

    Returns
    -------
    Vocabulary
        As many classes as ``CLASSES[name]``.

    Raises
    ------
    ValueError
        When there is no such list, or its length is not the benchmark's.
    """
    if name not in CLASSES:
        raise ValueError(f'no class list "{name}"; there are {", ".join(CLASSES)}')
    vocabulary = parse(files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8"), f"{name}.txt")
    check_count(vocabulary, CLASSES[name], f"{name}.txt")
    if name in _BACKGROUND:
        vocabulary = replace(vocabulary, names=("background", *vocabulary.names[1:]))
    return vocabulary


def read(path: str | Path) -> Vocabulary:
    """Read a class list from a file: one class per line, its queries separated by "; ".

    Raises
    ------
    ValueError
        When the file cannot be read as text, is empty, or has an empty line between classes.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable class list ({error})") from error
    return parse(text, str(path))


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
