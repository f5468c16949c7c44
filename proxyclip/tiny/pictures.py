"""Pictures of the tiny world's page: samples of the sets, and training curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

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
    """Training losses of every model, one small panel each: a PNG."""
    figure = Figure(figsize=(9, 2.2 * ((len(cards) + 2) // 3)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots((len(cards) + 2) // 3, 3, squeeze=False).ravel()
    for panel, (name, card) in zip(panels, cards.items(), strict=False):
        curve = np.array([row for row in card["curve"] if np.isfinite(row).all()])
        panel.plot(curve[:, 0], curve[:, 2], color="#0072B2")
        panel.set_title(f"{name}: loss by step", fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(cards) :]:
        panel.set_axis_off()
    figure.savefig(path, dpi=160)
