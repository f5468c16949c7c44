"""The kinds of panels: curves, dots by row, changes with their errors, a grid of numbers.

Every function draws the names that it is given with their colour and marker from
:mod:`proxyclip.supplement.figures.palette` and writes them beside what they name::

    panel = lines({"SAM": curve}, "threshold α", "mIoU, %", "Hard masking")
    show([panel], caption="mIoU along alpha (profile tiny, 16 scenes).",
         alt="SAM rises from 20 at alpha 0 to 41 at 0.6.")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.patches
import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from proxyclip.supplement.figures.layout import LOOK, Panel, panel
from proxyclip.supplement.figures.palette import BAND, MUTED, PAGE, style_of

#: Height of a letter with its surroundings, CSS pixels.
LINE = 13


def end_labels(axes: Axes, labels: Sequence[tuple[float, float, str, str]]) -> None:
    """Write labels at the ends of lines, moved apart where they would overlap.

    Parameters
    ----------
    axes : Axes
        With its limits final.
    labels : sequence of (x, y, text, colour)
        In data coordinates.
    """
    low, high = axes.get_ylim()
    pixels = axes.figure.get_figheight() * 72 - 75  # what title and axis leave
    logarithmic = axes.get_yscale() == "log"

    def at(y: float) -> float:
        return pixels * (np.log(y / low) / np.log(high / low) if logarithmic else (y - low) / (high - low))

    ordered = sorted(labels, key=lambda label: label[1])
    places = [at(label[1]) for label in ordered]
    for _ in range(200):  # push overlapping neighbours apart, both ways
        moved = False
        for below in range(len(places) - 1):
            lack = LINE - (places[below + 1] - places[below])
            if lack > 0.1:
                places[below] -= lack / 2
                places[below + 1] += lack / 2
                moved = True
        if not moved:
            break
    for (x, y, text, colour), place in zip(ordered, places, strict=True):
        axes.annotate(text, (x, y), (9, place - at(y)), textcoords="offset points", color=colour, va="center",
                      fontsize=11, annotation_clip=False)


def name_lines(axes: Axes) -> None:
    """Write each line's name at its end, in its colour, instead of a legend; moved apart where names would overlap."""
    handles, names = axes.get_legend_handles_labels()
    known = {(handle.get_color(), handle.get_marker()): name for handle, name in zip(handles, names, strict=True)}
    labels = []
    for line in axes.lines:
        points = line.get_xydata()
        name = known.get((line.get_color(), line.get_marker()))
        if name is not None and len(points):
            labels.append((*points[-1], name, line.get_color()))
    end_labels(axes, labels)
    axes.named_lines = [name for _, _, name, _ in labels]  # the page carries them for its tests
    if axes.get_legend() is not None:
        axes.get_legend().remove()


@mpl.rc_context(LOOK)
def lines(
    curves: Mapping[str, pd.Series], xlabel: str, ylabel: str, title: str, *, band: tuple[float, float] | None = None,
    band_text: str = "", mark: float | None = None, ends: Mapping[str, float] | None = None, ends_text: str = "",
    errors: Mapping[str, pd.Series] | None = None, logarithmic: bool = False, height: float = 290,
) -> Panel:
    """Curves with their names at their ends.

    Parameters
    ----------
    curves : mapping of name to Series
        The index is x.
    xlabel, ylabel, title : str
    band : (low, high), optional
        The paper's range of x, shaded and named ``band_text``.
    mark : float, optional
        The paper's default, a thin line.
    ends : mapping of name to float, optional
        A value for each curve, such as the adaptive rule's; drawn after the last x, over a tick named ``ends_text``.
    errors : mapping of name to Series, optional
        Standard errors of the curves, drawn as bars.
    logarithmic : bool
        Of both axes.
    height : float
        CSS pixels.
    """
    drawn = panel(title, xlabel, ylabel, height)
    axes = drawn.axes
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    if band is not None:
        axes.axvspan(*band, color=BAND, zorder=0, linewidth=0)
        if band_text:
            axes.annotate(band_text, (band[1], 0.02), (-3, 0), axes.get_xaxis_transform(), "offset points", ha="right",
                          va="bottom", fontsize=10.5, color=MUTED)
    if mark is not None:
        axes.axvline(mark, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
    steps = sorted({x for curve in curves.values() for x in curve.index})
    aside = steps[-1] + 0.26 * (steps[-1] - steps[0])
    labels = []
    for name, curve in curves.items():
        style = style_of(name)
        axes.plot(curve.index, curve.to_numpy(), color=style.light, marker=style.marker, markeredgecolor=PAGE,
                  markeredgewidth=0.8, markersize=9 if style.marker == "*" else 6.5)
        if errors and name in errors:
            axes.errorbar(curve.index, curve.to_numpy(), yerr=errors[name].to_numpy(), fmt="none", ecolor=style.light,
                          elinewidth=1.2, capsize=3)
        x, y = curve.index[-1], float(curve.iloc[-1])
        if ends and name in ends:
            axes.plot([x, aside], [y, ends[name]], color=style.light, linewidth=0.9, linestyle=(0, (1, 2)))
            axes.plot([aside], [ends[name]], color=style.light, marker=style.marker, markerfacecolor=PAGE,
                      markeredgecolor=style.light, markeredgewidth=1.8, markersize=8, linestyle="none")
            x, y = aside, float(ends[name])
        labels.append((x, y, name, style.light))
        drawn.series.append(name)
    if ends:
        axes.set_xticks([*steps, aside], [*_apart(steps, 0.09 * (aside - steps[0])), ends_text])
    elif logarithmic:
        axes.set_xticks(steps, [f"{step:g}" for step in steps])
        axes.minorticks_off()
    if not logarithmic:
        _widen(axes)
    end_labels(axes, labels)
    return drawn


def _apart(steps: Sequence[float], least: float) -> list[str]:
    """Labels of ticks, empty where one would touch the label before it."""
    labels, last = [], -np.inf
    for step in steps:
        labels.append(f"{step:g}" if step - last >= least else "")
        last = step if labels[-1] else last
    return labels


def _widen(axes: Axes) -> None:
    low, high = axes.get_ylim()
    floor = 0.0 if axes.dataLim.y0 >= 0 else -np.inf  # a score below zero does not exist
    axes.set_ylim(max(low - 0.08 * (high - low), floor), high + 0.08 * (high - low))


@mpl.rc_context(LOOK)
def heat_map(
    values: pd.DataFrame, xlabel: str, ylabel: str, title: str, *, marked: tuple[float, float] | None = None,
    digits: int = 0, height: float = 290,
) -> Panel:
    """A matrix of numbers, each written into its cell.

    Parameters
    ----------
    values : DataFrame
        Index along y, columns along x.
    marked : (row label, column label), optional
        Cell that is framed: the paper's default.
    """
    drawn = panel(title, xlabel, ylabel, height)
    axes = drawn.axes
    axes.grid(False)
    colours = mpl.colormaps["cividis"]
    numbers = values.to_numpy()
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    for row in range(numbers.shape[0]):
        for column in range(numbers.shape[1]):
            share = (numbers[row, column] - low) / max(high - low, 1e-9)
            axes.add_patch(mpl.patches.Rectangle((column, row), 1, 1, facecolor=colours(share), linewidth=0))
            axes.text(column + 0.5, row + 0.5, f"{numbers[row, column]:.{digits}f}", ha="center", va="center",
                      color="#ffffff" if share < 0.5 else "#0a0a0a", fontsize=11)
    axes.set_xlim(0, numbers.shape[1])
    axes.set_ylim(0, numbers.shape[0])
    axes.set_xticks(np.arange(numbers.shape[1]) + 0.5, [f"{item:g}" for item in values.columns])
    axes.set_yticks(np.arange(numbers.shape[0]) + 0.5, [f"{item:g}" for item in values.index])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if marked is not None and marked[0] in values.index and marked[1] in values.columns:
        corner = values.columns.get_loc(marked[1]), values.index.get_loc(marked[0])
        axes.add_patch(mpl.patches.Rectangle(corner, 1, 1, fill=False, edgecolor="#ffffff", linewidth=4))
        axes.add_patch(mpl.patches.Rectangle(corner, 1, 1, fill=False, edgecolor="#000000", linewidth=1.6))
    return drawn


@mpl.rc_context(LOOK)
def dots(values: pd.DataFrame, xlabel: str, title: str, *, height: float | None = None) -> Panel:
    """A band per row, in it a line of its own for every method, so that no dot hides another.

    Parameters
    ----------
    values : DataFrame
        A row per line of the figure, a column per method; NaN is left out.
    height : float, optional
        CSS pixels; from the numbers of rows and columns by default.
    """
    count = values.shape[1]
    step = 13.0  # pixels of a method's line
    drawn = panel(title, xlabel, height=height or 66 + len(values) * (count * step + 12))
    axes = drawn.axes
    positions = np.arange(len(values))[::-1]
    axes.set_yticks(positions, values.index)
    axes.set_ylim(-0.5, len(values) - 0.5)
    axes.grid(axis="y", visible=False)
    for position in positions[::2]:
        axes.axhspan(position - 0.5, position + 0.5, color=BAND, zorder=0, linewidth=0)
    share = step / (count * step + 12)
    high = float(np.nanmax(values.to_numpy()))
    axes.set_xlim(-0.02 * high, high * 1.04)  # a marker at 0 is seen whole
    for number, method in enumerate(values.columns):
        style = style_of(method)
        heights = positions + ((count - 1) / 2 - number) * share
        axes.scatter(values[method], heights, marker=style.marker, s=100 if style.marker == "*" else 52,
                     color=style.light, edgecolor=PAGE, linewidth=0.6, zorder=3)
        drawn.series.append(method)
        named = values[method].first_valid_index()
        if named is not None:
            place = float(values.loc[named, method]), heights[values.index.get_loc(named)]
            before = place[0] > 0.6 * high  # the axis ends soon, so the name stands before its dot
            axes.annotate(method, place, (-8 if before else 8, 0), textcoords="offset points", color=style.light,
                          va="center", ha="right" if before else "left", fontsize=11)
    return drawn


@mpl.rc_context(LOOK)
def changes(values: pd.Series, errors: pd.Series, xlabel: str, title: str) -> Panel:
    """A dot per row with a bar of two standard errors to each side, around a line at zero.

    Parameters
    ----------
    values, errors : Series
        The index names the rows.
    """
    drawn = panel(title, xlabel, height=66 + 24 * len(values))
    axes, style = drawn.axes, style_of("ProxyCLIP")
    positions = np.arange(len(values))[::-1]
    axes.axvline(0, color=MUTED, linewidth=1.0)
    axes.errorbar(values, positions, xerr=2 * errors, fmt="none", ecolor=style.light, elinewidth=1.6, capsize=3)
    axes.scatter(values, positions, marker="o", s=46, color=style.light, edgecolor=PAGE, linewidth=0.6, zorder=3)
    axes.set_yticks(positions, values.index)
    axes.set_ylim(-0.6, len(values) - 0.4)
    axes.grid(axis="y", visible=False)
    return drawn
