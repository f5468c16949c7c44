"""Histograms of cosines: of one window, and of several models above each other."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np

from proxyclip.supplement.figures.layout import LOOK, Panel, panel
from proxyclip.supplement.figures.palette import INK, style_of


@mpl.rc_context(LOOK)
def distributions(
    histograms: Mapping[str, tuple[np.ndarray, np.ndarray]], xlabel: str, title: str, *,
    medians: Mapping[str, float], thresholds: Mapping[str, float],
) -> Panel:
    """Distributions above each other, each with its median (solid) and its threshold (dashed).

    Heights are square roots of the counts, or a peak would flatten everything else.

    Parameters
    ----------
    histograms : mapping of name to (counts, edges)
    medians, thresholds : mapping of name to float
    """
    drawn = panel(title, xlabel, height=80 + 56 * len(histograms))
    axes = drawn.axes
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    positions = np.arange(len(histograms))[::-1]
    for position, (name, (counts, edges)) in zip(positions, histograms.items(), strict=True):
        style = style_of(name)
        shape = 0.85 * np.sqrt(counts / counts.max())
        axes.fill_between(edges, position, position + np.append(shape, shape[-1]), step="post", alpha=0.35,
                          color=style.light, linewidth=0)
        axes.vlines(medians[name], position, position + 0.85, color=style.light, linewidth=2)
        axes.vlines(thresholds[name], position, position + 0.85, color=INK, linewidth=1.4, linestyle=(0, (3, 2)))
        drawn.series.append(name)
    top = next(iter(histograms))
    right = thresholds[top] >= medians[top]  # the two names lean away from each other
    for at, word, colour, leans_right in ((medians[top], "median", style_of(top).light, not right),
                                          (thresholds[top], "threshold", INK, right)):
        axes.annotate(word, (at, positions[0] + 0.85), (3 if leans_right else -3, 2), textcoords="offset points",
                      ha="left" if leans_right else "right", va="bottom", fontsize=10.5, color=colour)
    axes.set_yticks(positions + 0.3, list(histograms))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.05, len(histograms) + 0.25)
    axes.xaxis.set_major_locator(mpl.ticker.MultipleLocator(0.5))
    return drawn


@mpl.rc_context(LOOK)
def cosine_histogram(cosines: np.ndarray, threshold: float, mean: float, bins: int = 60) -> Panel:
    """All cosines of a window; what lies below the threshold is pale.

    Parameters
    ----------
    cosines : (count,) float
    threshold, mean : float
    """
    drawn = panel("The cosines of one window", "cosine of two patches", "pairs of patches, %", 240)
    axes = drawn.axes
    counts, edges = np.histogram(cosines, bins=bins, range=(min(-0.5, float(cosines.min())), 1.0))
    shares = 100 * counts / counts.sum()
    middles, colour = (edges[:-1] + edges[1:]) / 2, style_of("ProxyCLIP").light
    for part, alpha in ((middles < threshold, 0.25), (middles >= threshold, 0.9)):
        axes.bar(middles[part], shares[part], width=np.diff(edges)[part], color=colour, alpha=alpha, linewidth=0)
    for at, text, style, place in ((mean, "mean", "-", 0.99), (threshold, "threshold β · mean", (0, (4, 2)), 0.86)):
        axes.axvline(at, color=INK, linewidth=1.3, linestyle=style)
        axes.annotate(text, (at, place), (-4, 0), axes.get_xaxis_transform(), "offset points", va="top", ha="right",
                      fontsize=11)
    return drawn
