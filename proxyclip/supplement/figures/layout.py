"""The look of the book's figures, and how a figure becomes a part of a page.

A notebook calls :func:`theme` once, draws with seaborn and matplotlib, and ends the cell with :func:`captioned`.
Figures are shown as SVG inside the page, so that letters stay letters and colours follow the page from light to dark
(:mod:`proxyclip.supplement.figures.palette`).
"""

from __future__ import annotations

import hashlib
import html
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine

from proxyclip.supplement.figures.palette import GRID, INK, MUTED, PAGE, style_of, with_variables
from proxyclip.supplement.figures.tables import Shown

#: Width of the book's column and of a phone's, CSS pixels; a point of matplotlib is one of them.
COLUMN, PHONE = 688, 344
POINTS = 72
WIDTH = COLUMN / POINTS

LOOK: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 11.5, "axes.titlesize": 12.5, "axes.titlelocation": "left",
    "axes.titleweight": "bold", "axes.labelsize": 11.5, "xtick.labelsize": 11, "ytick.labelsize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.8, "lines.linewidth": 2.0, "lines.markersize": 6.5,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.titlecolor": INK, "figure.facecolor": "none",
    "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False, "xtick.major.size": 3,
    "ytick.major.size": 3, "svg.hashsalt": "proxyclip", "svg.fonttype": "none", "axes.unicode_minus": True,
    "figure.autolayout": False, "figure.constrained_layout.use": False,
}


def theme() -> None:
    """Set the style of the book for seaborn and matplotlib: letters, grid, and a figure as wide as the column."""
    import seaborn

    seaborn.set_theme(style="ticks", rc={**LOOK, "figure.figsize": (WIDTH, 290 / POINTS), "figure.dpi": POINTS})


def styles(names: Iterable[str]) -> dict[str, Any]:
    """Colour and marker of each name, as seaborn takes them; a name has the same ones in every figure of the book.

    Names are methods, foundation models or data sets; a column of a frame is fine. Returns ``palette``, ``markers`` and
    ``dashes`` of :func:`seaborn.lineplot`.

    >>> styles(["DINO", "SAM"])["markers"]
    {'DINO': 'o', 'SAM': '^'}
    """
    found = {name: style_of(name) for name in dict.fromkeys(names)}
    return {"palette": {name: style.light for name, style in found.items()},
            "markers": {name: style.marker for name, style in found.items()}, "dashes": False}


def captioned(drawn: Any, caption: str, alt: str = "") -> Shown:
    """End a cell that draws: the figure at the width of the column, with its caption (profile, sample size and units).

    What is drawn is a figure or axes of matplotlib, or what seaborn returns. Its height stays, and a legend moves below
    the panels; on a phone its axes stand below each other. It is closed, so that the notebook does not show it a second
    time. ``alt`` says what it shows to readers who cannot see it, by default what its panels are called, the range of
    every line, and the numbers in the cells of a grid. ``ValueError`` if the caption is missing.
    """
    import matplotlib.pyplot

    if not caption.strip():
        raise ValueError("a figure needs a caption")
    figure: Any = drawn if isinstance(drawn, Figure) else drawn.figure
    matplotlib.pyplot.close(figure)
    legends = [*figure.legends, *filter(None, (one.get_legend() for one in figure.axes))]
    key = {text.get_text(): handle for legend in legends[:1]
           for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True)}
    for legend in legends:
        legend.remove()
    alt = alt or " ".join(_described(one, key) for one in figure.axes)
    height, rows = figure.get_figheight(), len({one.get_subplotspec().rowspan.start for one in figure.axes})
    FigureCanvasSVG(figure)  # whose letters the layout measures
    wide = _as_svg(figure, COLUMN, height, key, alt)
    places = GridSpec(len(figure.axes), 1, figure)
    for number, one in enumerate(figure.axes):
        one.set_subplotspec(places[number])
        one.tick_params(labelleft=True, labelbottom=True)
        one.set_ylabel(one.get_ylabel() or figure.axes[0].get_ylabel())
    narrow = _as_svg(figure, PHONE, height / rows * len(figure.axes), key, alt)
    page = Markup(f'<figure class="book-figure"><div class="panels"><div class="on-wide">{wide}</div>'
                  f'<div class="on-phone">{narrow}</div></div><figcaption>{html.escape(caption)}</figcaption></figure>')
    return Shown(page, f"{caption} {alt}")


def _as_svg(figure: Figure, width: float, height: float, key: Mapping[str, Any], alt: str) -> str:
    """A figure at a width in CSS pixels and a height in inches; rims of dots have the colour of the page."""
    figure.set_size_inches(width / POINTS, height)
    if key:
        columns = max(1, int(width // (40 + 7 * max(map(len, key)))))
        legend = figure.legend(key.values(), key, loc="outside lower center", ncols=min(columns, len(key)))
    buffer = io.StringIO()
    with mpl.rc_context(LOOK):
        figure.set_layout_engine(None)  # laid out here, since with an engine of its own it would be drawn twice
        ConstrainedLayoutEngine().execute(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    if key:
        legend.remove()
    drawn = [name for name in key if style_of(name).light in buffer.getvalue()]
    return _inline(buffer.getvalue().replace("stroke: #ffffff", f"stroke: {PAGE}"), alt, drawn)


def _described(axes: Axes, key: Mapping[str, Any]) -> str:
    """What a panel shows in words."""
    title = axes.get_title() or axes.get_title("left")
    parts = [f"{title + ': ' if title else ''}{axes.get_ylabel()} by {axes.get_xlabel()}"]
    names = {to_hex(handle.get_color()): name for name, handle in key.items() if hasattr(handle, "get_color")}
    for line in axes.get_lines():
        values = np.asarray(line.get_ydata(), dtype=float)
        if len(values) > 1 and (name := names.get(to_hex(line.get_color()))):
            parts.append(f"{name} from {values[0]:.1f} to {values[-1]:.1f}, at most {np.nanmax(values):.1f}")
    if axes.texts:
        parts.append("written in it: " + ", ".join(text.get_text() for text in axes.texts))
    return "; ".join(parts) + "."


def _inline(svg: str, alt: str, series: Sequence[str]) -> str:
    """SVG for a page with many of them: no prologue, ids of its own, sizes and colours from the page."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    own = "f" + hashlib.sha256((svg + alt).encode()).hexdigest()[:8]
    used = {name for pair in re.findall(r"#([\w-]+)\)|href=\"#([\w-]+)\"", svg) for name in pair if name}
    svg = re.sub(r' id="([\w.-]+)"', lambda m: f' id="{own}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r"url\(#([\w-]+)\)", rf"url(#{own}-\1)", svg)
    svg = re.sub(r'(?:xlink:)?href="#([\w-]+)"', rf'href="#{own}-\1"', svg)
    # the page's own letters
    svg = re.sub(r"font: (?:(\w+) )?([\d.]+)px [^;\"]*", lambda m: f"font-size: {m[2]}px"
                 + (f"; font-weight: {m[1]}" if m[1] else ""), svg)
    svg = with_variables(svg)
    drawn = [{"name": name, "colour": style_of(name).light, "marker": style_of(name).marker} for name in series]
    head = (f'<svg role="img" aria-label="{html.escape(alt)}" data-series="{html.escape(json.dumps(drawn))}"')
    box = re.search(r'viewBox="[^"]+"', svg)
    assert box is not None, "matplotlib writes a view box"
    svg = re.sub(r"<svg\b[^>]*>", f'{head} xmlns="http://www.w3.org/2000/svg" {box[0]}>', svg, count=1)
    return re.sub(r">\s+<", "><", svg).strip()
