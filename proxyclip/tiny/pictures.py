"""Pictures of the tiny world's page: samples of the sets, and training curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from proxyclip.palette import OKABE_ITO
from proxyclip.tiny.sets import SETS, VAL_SEED, render


def contact_sheet(path: Path, seed: int = VAL_SEED, scale: int = 1) -> None:
    """Two scenes of every set that is square, one street below: a PNG."""
    square = [name for name, row in SETS.items() if row.size == (128, 128)]
    rows = [np.concatenate([render(name, seed, i).image for name in square], axis=1) for i in (0, 1)]
    streets = [render("tiny/street", seed, i).image for i in range(4)]
    wide = np.concatenate(streets, axis=1)[:, : rows[0].shape[1]]
    sheet = Image.fromarray(np.concatenate([*rows, wide], axis=0))
    sheet.resize((sheet.width * scale, sheet.height * scale), Image.LANCZOS).save(path, optimize=True)


def curves(path: Path, cards: dict[str, dict[str, Any]]) -> None:
    """Training losses of every model, one panel each, two side by side so that a phone can show them: a PNG."""
    rows = -(-len(cards) // 2)
    with mpl.rc_context({"font.size": 11}):
        figure = Figure(figsize=(5.4, 1.7 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for panel, (name, card) in zip(panels, cards.items(), strict=False):
            curve = np.array([row for row in card["curve"] if np.isfinite(row).all()])
            panel.plot(curve[:, 0], curve[:, 2], color=OKABE_ITO["blue"], linewidth=2)
            panel.set_title(name, fontsize=11, loc="left")
            panel.spines[["top", "right"]].set_visible(False)
            panel.set_xlim(left=0)
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(3))
        for panel in panels[len(cards) :]:
            panel.set_axis_off()
        figure.supxlabel("step", fontsize=11)
        figure.supylabel("loss", fontsize=11)
        figure.savefig(path, dpi=160)
