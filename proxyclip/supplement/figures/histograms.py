"""The histogram of the cosines of one window."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np

from proxyclip.supplement.figures.layout import LOOK, Panel, panel
from proxyclip.supplement.figures.palette import INK, style_of


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
