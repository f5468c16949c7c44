"""What the tiny world is made of: classes, colours, patterns and the palettes that textures share.

Every name here is a word of the tiny CLIP's vocabulary.
"""

from __future__ import annotations

STUFF: tuple[str, ...] = (
    "sky", "grass", "water", "sand", "road", "bricks", "snow", "wood", "leaves", "stones", "tiles", "carpet",
)  # fmt: skip
THINGS: tuple[str, ...] = (
    "ball", "star", "house", "tree", "car", "boat", "fish", "flower", "cup", "cloud",
    "moon", "mushroom", "heart", "key", "umbrella", "rocket", "bottle", "chair", "lamp", "sign",
)  # fmt: skip
#: Class ids of the whole world: stuff first, then things. Sets pick and renumber.
CLASSES: tuple[str, ...] = STUFF + THINGS

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 44),
    "orange": (240, 134, 32),
    "yellow": (244, 208, 48),
    "green": (58, 156, 66),
    "blue": (46, 92, 206),
    "purple": (132, 64, 172),
    "pink": (240, 138, 178),
    "brown": (126, 80, 44),
    "white": (240, 240, 236),
    "black": (42, 42, 48),
}
PATTERNS: tuple[str, ...] = ("plain", "striped", "dotted", "checkered")

#: Palettes (dark to light) that any texture may take, so that a colour does not give a class away.
PALETTES: tuple[tuple[tuple[int, int, int], ...], ...] = (
    ((52, 84, 40), (86, 134, 56), (134, 172, 82), (196, 204, 128)),
    ((34, 62, 110), (58, 104, 164), (104, 156, 206), (184, 214, 236)),
    ((104, 56, 40), (150, 84, 58), (184, 120, 86), (222, 184, 150)),
    ((70, 70, 76), (106, 108, 114), (146, 148, 152), (196, 198, 200)),
    ((122, 98, 60), (170, 140, 92), (206, 180, 128), (236, 220, 178)),
    ((70, 44, 84), (112, 78, 134), (158, 124, 176), (210, 188, 222)),
    ((120, 44, 54), (170, 76, 80), (206, 122, 116), (238, 190, 178)),
    ((28, 84, 84), (52, 128, 124), (104, 172, 162), (188, 222, 212)),
    ((132, 80, 20), (184, 122, 38), (220, 166, 74), (244, 214, 146)),
    ((130, 142, 160), (172, 184, 200), (208, 218, 230), (240, 244, 250)),
)
#: Palettes that each stuff class takes more often than the others (index into ``PALETTES``).
NATURAL_PALETTES: dict[str, tuple[int, ...]] = {
    "sky": (1, 9, 6),
    "grass": (0, 8),
    "water": (1, 7),
    "sand": (4, 8),
    "road": (3, 5),
    "bricks": (2, 6, 3),
    "snow": (9, 1),
    "wood": (2, 4, 8),
    "leaves": (0, 7, 8),
    "stones": (3, 4, 9),
    "tiles": (9, 7, 2),
    "carpet": (6, 5, 1),
}


def held_out(colour: str, pattern: str, thing: str) -> bool:
    """Whether the triple (colour, pattern, thing) is never captioned in training.

    That is a fixed quarter of the triples, chosen so that every pair (of colour and pattern, colour and thing, pattern
    and thing) still occurs in captions.
    """
    c, p, t = list(COLOURS).index(colour), PATTERNS.index(pattern), THINGS.index(thing)
    return (c + p + t) % 4 == 0
