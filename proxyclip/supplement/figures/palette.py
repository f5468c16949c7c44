"""Colours and markers: one of each per method, foundation model and data set, the same in every figure of the book.

A figure is drawn once, in the colours for a light page. Its SVG then names each of them as a CSS variable, and the
book's style sheet gives the variable another value on a dark page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from proxyclip.supplement.display_names import family_of, stand_ins


@dataclass(frozen=True)
class Style:
    """How one name is drawn."""

    #: Its colour on a light and on a dark page, ``#rrggbb``; both are readable as text there (4.5 to 1).
    light: str
    dark: str
    marker: str  #: Of matplotlib.


#: Methods, which differ in what CLIP's last block attends to.
METHODS = {
    "CLIP": Style("#626b75", "#aab3bd", "o"),
    "MaskCLIP": Style("#007a85", "#4fd0da", "s"),
    "SCLIP": Style("#756600", "#e3d24a", "^"),
    "GEM": Style("#24282e", "#eef0f2", "D"),
    "ClearCLIP": Style("#4f46b5", "#b0a9ff", ">"),
    "NACLIP": Style("#a8174b", "#ff93b1", "<"),
    "q-k": Style("#a85300", "#f0a23c", "v"),
    "q-q": Style("#00744d", "#43d1a0", "P"),
    "k-k": Style("#a23d7b", "#ea9ccb", "X"),
    "identity": Style("#8a4b2a", "#d9a585", "p"),
    "hard mask": Style("#bb3a12", "#ff9068", "h"),
    "ProxyCLIP": Style("#005fa3", "#62b6f2", "*"),
}

#: Families of vision foundation models.
FAMILIES = {
    "DINO": Style("#0b57d0", "#8ab4ff", "o"),
    "DINOv2": Style("#b3261e", "#ff9d94", "s"),
    "real DINOv2-S": Style("#7a1f52", "#f39ac8", "X"),  # beside the tiny DINOv2
    "DINOv3": Style("#3c4043", "#e0e2e6", "D"),
    "SAM": Style("#146c2e", "#7bd88f", "^"),
    "MAE": Style("#8430ce", "#d3a4ff", "v"),
    "Stable Diffusion": Style("#994700", "#ffb874", "P"),
}

#: Data sets, by the benchmark that a generated set corresponds to.
DATA_SETS = {
    "voc21": Style("#3b1f6b", "#c9b0ff", "o"),
    "voc20": Style("#5a5470", "#b9b4cc", "s"),
    "context60": Style("#1f6f7a", "#6fd3dc", "^"),
    "coco_object": Style("#6b6a1f", "#d5d46a", "D"),
    "coco_stuff": Style("#2f6f4f", "#7fdca9", "v"),
    "cityscapes": Style("#8a4a00", "#f0b860", "P"),
    "ade150": Style("#8c3b4b", "#f09aa8", "X"),
    "ade847": Style("#31508a", "#8fb8ff", "*"),
}

#: Measures of one model's attention on photographs with annotated objects.
MEASURES = {
    "on own object": Style("#0a6b5e", "#5fd6c4", "o"),
    "object reached": Style("#7a3e9d", "#cfa0ee", "s"),
}

#: Colours that every figure shares: text, secondary text, grid lines, shaded ranges, the page itself.
SURROUNDINGS = {
    "ink": ("#1f2329", "#e6e9ed"), "muted": ("#57606b", "#a6afb9"), "grid": ("#dfe3e8", "#3a424c"),
    "band": ("#e9eef4", "#26303b"), "page": ("#fefefe", "#14181e"),
}  # fmt: skip
INK, MUTED, GRID, BAND, PAGE = (light for light, _ in SURROUNDINGS.values())


def style_of(name: str) -> Style:
    """Colour and marker of a method, a foundation model (by family or registry name) or a data set.

    Models of one family share its colour, and so does ProxyCLIP with a model of it; one of patches of 8 pixels
    (``DINO-B/8``, ``tiny_dino8``) has a marker of its own. A name that the tables do not list
    has the colour of secondary text and a circle.
    """
    if re.search(r"(/|[a-z])8\)?$", name):
        return replace(style_of(family_of(name) if family_of(name) != name else re.sub(r"/?8(?=\)?$)", "", name)),
                       marker="d")
    if (read := re.fullmatch(r"ProxyCLIP \((.+)\)", name)) and family_of(read[1]) in FAMILIES:
        return replace(FAMILIES[family_of(read[1])], marker=METHODS["ProxyCLIP"].marker)
    bare = re.split(r" \(|-B|/", name)[0].removeprefix("tiny ")
    for table, key in ((METHODS, name), (FAMILIES, name), (FAMILIES, family_of(name)), (DATA_SETS, name),
                       (DATA_SETS, stand_ins().get(name, "")), (FAMILIES, bare), (METHODS, bare),
                       (MEASURES, name)):
        if key in table:
            return table[key]
    return Style(*SURROUNDINGS["muted"], "o")


def css_variables() -> dict[str, tuple[str, str]]:
    """CSS variable -> colour on a light and on a dark page."""
    found = {f"--figure-{name}": pair for name, pair in SURROUNDINGS.items()}
    for table in (METHODS, FAMILIES, DATA_SETS, MEASURES):
        for name, style in table.items():
            found[f"--figure-{re.sub(r'[^a-z0-9]+', '-', name.lower())}"] = (style.light, style.dark)
    return found


def with_variables(svg: str) -> str:
    """The SVG with each colour of the tables as its CSS variable, with the light colour as the fallback."""
    names = {light: variable for variable, (light, _) in css_variables().items()}
    return re.sub(r"#[0-9a-f]{6}\b", lambda match: f"var({names[match[0]]}, {match[0]})" if match[0] in names
                  else match[0], svg)
