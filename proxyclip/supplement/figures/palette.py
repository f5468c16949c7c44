"""Colours and markers: one of each per method, foundation model and data set, the same in every figure of the book.

A figure is drawn once, in the colours for a light page. Its SVG then names each of them as a CSS variable, and the
book's style sheet gives the variable another value on a dark page. The values are in ``palette.toml``.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from proxyclip.supplement.display_names import family_of, stand_ins
from proxyclip.system.own_files import shipped


@dataclass(frozen=True)
class Style:
    """How one name is drawn."""

    #: Its colour on a light and on a dark page, ``#rrggbb``; both are readable as text there (4.5 to 1).
    light: str
    dark: str
    marker: str = "o"  #: Of matplotlib.


_TABLES = shipped(Path(__file__).with_suffix(".toml"), dict[str, dict[str, Style]])

#: Styles of methods, of families of foundation models, of benchmarks, and of measures of one model's attention.
METHODS, FAMILIES, DATA_SETS, MEASURES = (
    _TABLES[table] for table in ("methods", "families", "data_sets", "measures"))
#: Colours that every figure shares, on a light and on a dark page.
SURROUNDINGS = {name: (style.light, style.dark) for name, style in _TABLES["surroundings"].items()}
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
    return Style(*SURROUNDINGS["muted"])


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
