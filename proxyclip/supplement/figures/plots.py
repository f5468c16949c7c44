"""Figures with one look: the same colours, direct labels, the paper's values as thin grey marks, a text for each.

A figure of the book is one or more panels side by side (below each other on a phone) with a caption and a text
alternative::

    panel = lines({"SAM": curve}, VFM_COLOURS, "alpha", "mIoU, %", "Hard masking")
    show([panel], caption="mIoU along alpha (profile tiny, 16 scenes).",
         alt="SAM rises from 20 at alpha 0 to 41 at 0.6.")
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.patches
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from proxyclip.supplement.figures.palette import PAPER_COLOUR

#: Size of a panel in inches: about half the book's width, so that its letters stay readable on a phone.
PANEL_WIDTH, PANEL_HEIGHT = 4.7, 3.5
#: Pixels per inch of the stored picture and of its display.
STORED_DPI, SHOWN_DPI = 192, 96

LOOK = {
    "font.family": "DejaVu Sans", "font.size": 11, "axes.titlesize": 12, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#E6E6E6", "grid.linewidth": 0.8, "lines.linewidth": 2.0, "lines.markersize": 6,
    "legend.frameon": False, "xtick.major.size": 3, "ytick.major.size": 3, "svg.hashsalt": "proxyclip",
}  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@dataclass(frozen=True)
class BookFigure:
    """Panels with a caption and a text alternative; a notebook and the book render it.

    Parameters
    ----------
    panels : tuple of matplotlib Figure
    caption : str
        With profile, sample size and units.
    alts : tuple of str
        What each panel tells, for who cannot see it.
    """

    panels: tuple[Figure, ...]
    caption: str
    alts: tuple[str, ...]

    def _repr_html_(self) -> str:
        images = "".join(_image(panel, alt) for panel, alt in zip(self.panels, self.alts, strict=True))
        return (
            '<figure style="margin:1em 0">'
            f'<div style="display:flex;flex-wrap:wrap;gap:8px;background:white">{images}</div>'
            f"<figcaption>{html.escape(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return " ".join((self.caption, *self.alts))


def show(panels: Sequence[Figure], caption: str, alt: str | Sequence[str]) -> BookFigure:
    """Join panels into a figure of the book.

    Parameters
    ----------
    panels : sequence of matplotlib Figure
    caption : str
        With profile, sample size and units.
    alt : str or sequence of str
        What each panel tells, or what all of them tell together.

    Raises
    ------
    ValueError
        If the caption or a panel's text is missing: a reader without the picture would have nothing.
    """
    if isinstance(alt, str):
        rest = range(2, len(panels) + 1)
        alt = [alt, *(f"Panel {number} of {len(panels)}; described with the first." for number in rest)]
    alts = tuple(alt)
    if not caption.strip() or len(alts) != len(panels) or not all(text.strip() for text in alts):
        raise ValueError("a figure needs a caption, and each of its panels a text alternative")
    return BookFigure(tuple(panels), caption, alts)


def _image(panel: Figure, alt: str) -> str:
    buffer = io.BytesIO()
    panel.savefig(buffer, format="png", dpi=STORED_DPI, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(panel.get_figwidth() * SHOWN_DPI)
    return (f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" '
            f'style="width:{width}px;max-width:100%;height:auto"/>')


@mpl.rc_context(LOOK)
def panel(
    title: str, xlabel: str = "", ylabel: str = "", width: float = PANEL_WIDTH, height: float = PANEL_HEIGHT
) -> tuple[Figure, Axes]:
    """An empty panel with the book's look; drawn without any window system."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return figure, axes


def end_labels(axes: Axes, labels: Sequence[tuple[float, float, str, str]], gap: float = 0.075) -> None:
    """Write labels behind the ends of lines, moved apart where they would overlap.

    Parameters
    ----------
    axes : Axes
        With its limits final.
    labels : sequence of (x, y, text, colour)
        In data coordinates.
    gap : float
        Smallest distance of two labels, as a fraction of the axes' height.
    """
    low, high = axes.get_ylim()
    height = high - low
    placed = float("-inf")
    for x, y, text, colour in sorted(labels, key=lambda label: label[1]):
        placed = max(y, placed + gap * height)
        axes.annotate(text, (x, y), (8, (placed - y) / height * axes.bbox.height * 72 / axes.figure.dpi),
                      textcoords="offset points", color=colour, va="center", fontsize=10, annotation_clip=False)


@mpl.rc_context(LOOK)
def lines(
    curves: Mapping[str, pd.Series], colours: Mapping[str, str], xlabel: str, ylabel: str, title: str, *,
    paper: Mapping[str, pd.Series] | None = None, band: tuple[float, float] | None = None, band_text: str = "",
    mark: float | None = None, levels: Mapping[str, float] | None = None, logarithmic: bool = False,
) -> Figure:
    """Curves with their names at their ends.

    Parameters
    ----------
    curves : mapping of name to Series
        The index is x.
    colours : mapping of name to colour
    paper : mapping of name to Series, optional
        The paper's values: thin grey lines.
    band : (low, high), optional
        Range of x that the paper speaks of, shaded.
    mark : float, optional
        The paper's default, a thin grey line.
    levels : mapping of name to float, optional
        A dashed line in the curve's colour, such as the adaptive rule's value.
    logarithmic : bool
        Of the x axis.
    """
    figure, axes = panel(title, xlabel, ylabel)
    if logarithmic:
        axes.set_xscale("log")
    if band is not None:
        axes.axvspan(*band, color="#EFEFEF", zorder=0, linewidth=0)
        if band_text:
            axes.text(sum(band) / 2, 1.0, band_text, transform=axes.get_xaxis_transform(), ha="center", va="bottom",
                      fontsize=10, color=PAPER_COLOUR)
            axes.set_title(title, pad=18)
    if mark is not None:
        axes.axvline(mark, color=PAPER_COLOUR, linewidth=0.9)
    for curve in (paper or {}).values():
        axes.plot(curve.index, curve.to_numpy(), color=PAPER_COLOUR, linewidth=0.9, marker=".", markersize=4)
    ends = []
    for (name, curve), marker in zip(curves.items(), MARKERS * 3, strict=False):
        colour = colours[name]
        axes.plot(curve.index, curve.to_numpy(), color=colour, marker=marker, markeredgecolor="white")
        if levels and name in levels:
            axes.axhline(levels[name], color=colour, linewidth=1.2, linestyle=(0, (4, 2)))
        ends.append((curve.index[-1], float(curve.iloc[-1]), name, colour))
    for name, curve in (paper or {}).items():
        ends.append((curve.index[-1], float(curve.iloc[-1]), name, PAPER_COLOUR))
    _widen(axes)
    end_labels(axes, ends)
    return figure


def _widen(axes: Axes, share: float = 0.08) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(low - share * (high - low), high + share * (high - low))


@mpl.rc_context(LOOK)
def heat_map(
    values: pd.DataFrame, xlabel: str, ylabel: str, title: str, *, marked: tuple[float, float] | None = None,
    digits: int = 0,
) -> Figure:
    """A matrix of numbers, each written into its cell.

    Parameters
    ----------
    values : DataFrame
        Index along y, columns along x.
    marked : (row label, column label), optional
        Cell that is framed: the paper's default.
    """
    import seaborn  # with scipy's statistics, which take seconds to import and no other figure needs

    figure, axes = panel(title, xlabel, ylabel)
    axes.grid(False)
    seaborn.heatmap(values, ax=axes, cmap="cividis", annot=True, fmt=f".{digits}f", annot_kws={"fontsize": 10},
                    cbar=False, xticklabels=[f"{item:g}" for item in values.columns],
                    yticklabels=[f"{item:g}" for item in values.index])
    axes.invert_yaxis()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if marked is not None and marked[0] in values.index and marked[1] in values.columns:
        corner = values.columns.get_loc(marked[1]), values.index.get_loc(marked[0])
        axes.add_patch(mpl.patches.Rectangle(corner, 1, 1, fill=False, edgecolor="white", linewidth=3))
        axes.add_patch(mpl.patches.Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=1))
    return figure


@mpl.rc_context(LOOK)
def dots(
    values: pd.DataFrame, colours: Mapping[str, str], xlabel: str, title: str, *, paper: pd.DataFrame | None = None
) -> Figure:
    """A row per set (or VFM), a dot per method; the paper's value of the same cell is a thin grey tick.

    Parameters
    ----------
    values : DataFrame
        A row per line of the figure, a column per method.
    paper : DataFrame, optional
        Of the same shape, NaN where the paper states nothing.
    """
    height = 1.3 + 0.42 * len(values)
    figure, axes = panel(title, xlabel, height=max(height, 2.4))
    positions = np.arange(len(values))[::-1]
    axes.set_yticks(positions, values.index)
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.grid(axis="y", visible=False)
    for position in positions:
        axes.axhline(position, color="#EFEFEF", linewidth=6, zorder=0)
    for number, method in enumerate(values.columns):
        offset = (number - (values.shape[1] - 1) / 2) * -0.09
        if paper is not None and method in paper:
            axes.hlines(positions + offset, values[method], paper[method], color=PAPER_COLOUR, linewidth=0.4)
            axes.scatter(paper[method], positions + offset, marker="|", s=70, color=PAPER_COLOUR, linewidths=1.0)
        axes.scatter(values[method], positions + offset, marker=MARKERS[number % len(MARKERS)], s=46,
                     color=colours[method], edgecolor="white", linewidth=0.5, label=method, zorder=3)
    count = values.shape[1]
    columns = count if count <= 4 else -(-count // 2)  # rows of equal length
    figure.legend(loc="outside lower center", ncols=columns, fontsize=10, handletextpad=0.2, columnspacing=0.9)
    return figure


@mpl.rc_context(LOOK)
def distributions(
    histograms: Mapping[str, tuple[np.ndarray, np.ndarray]], colours: Mapping[str, str], xlabel: str, title: str, *,
    medians: Mapping[str, float], thresholds: Mapping[str, float],
) -> Figure:
    """Distributions above each other, each with its median (solid) and its threshold (dashed).

    Heights are square roots of the counts, or a peak would flatten everything else.

    Parameters
    ----------
    histograms : mapping of name to (counts, edges)
    medians, thresholds : mapping of name to float
    """
    figure, axes = panel(title, xlabel, height=1.4 + 0.62 * len(histograms))
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    positions = np.arange(len(histograms))[::-1]
    for position, (name, (counts, edges)) in zip(positions, histograms.items(), strict=True):
        shape = 0.85 * np.sqrt(counts / counts.max())
        axes.fill_between(edges, position, position + np.append(shape, shape[-1]), step="post", alpha=0.35,
                          color=colours[name], linewidth=0)
        axes.vlines(medians[name], position, position + 0.85, color=colours[name], linewidth=2)
        axes.vlines(thresholds[name], position, position + 0.85, color="black", linewidth=1.4, linestyle=(0, (3, 2)))
    axes.set_yticks(positions + 0.3, list(histograms))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.05, len(histograms))
    axes.xaxis.set_major_locator(mpl.ticker.MultipleLocator(0.5))
    return figure


def set_colours(names: Sequence[str]) -> dict[str, str]:
    """Colours of data sets: steps of a map made for colour-blind readers, apart from those of methods and VFMs."""
    steps = mpl.colormaps["cividis"](np.linspace(0.0, 0.82, max(len(names), 2)))
    return {name: mpl.colors.to_hex(step) for name, step in zip(names, steps, strict=False)}
