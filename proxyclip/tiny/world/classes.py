"""What the tiny world is made of: classes, colours, patterns and the palettes that textures share.

Every name here is a word of the tiny CLIP's vocabulary. The values are in ``classes.toml``.
"""

from dataclasses import dataclass
from pathlib import Path

from proxyclip.system.own_files import shipped

_RGB = tuple[int, int, int]


@dataclass(frozen=True)
class _World:
    stuff: tuple[str, ...]
    things: tuple[str, ...]
    patterns: tuple[str, ...]
    palettes: tuple[tuple[_RGB, ...], ...]
    colours: dict[str, _RGB]
    natural_palettes: dict[str, tuple[int, ...]]
    lists: dict[str, tuple[str, ...]]


_WORLD = shipped(Path(__file__).with_suffix(".toml"), dict[str, _World])["world"]

STUFF, THINGS, PATTERNS, COLOURS = _WORLD.stuff, _WORLD.things, _WORLD.patterns, _WORLD.colours
#: Class ids of the whole world: stuff first, then things. Sets pick and renumber.
CLASSES: tuple[str, ...] = STUFF + THINGS
#: Palettes (dark to light) that any texture may take, so that a colour does not give a class away.
PALETTES = _WORLD.palettes
#: Palettes that each stuff class takes more often than the others (index into ``PALETTES``).
NATURAL_PALETTES = _WORLD.natural_palettes
#: Names and words that the modules of this folder draw from.
LISTS = _WORLD.lists


def held_out(colour: str, pattern: str, thing: str) -> bool:
    """Whether the triple (colour, pattern, thing) is never captioned in training.

    That is a fixed quarter of the triples, chosen so that every pair (of colour and pattern, colour and thing, pattern
    and thing) still occurs in captions.
    """
    c, p, t = list(COLOURS).index(colour), PATTERNS.index(pattern), THINGS.index(thing)
    return (c + p + t) % 4 == 0
