"""Pictures of section G: segmentations side by side, and what a patch attends to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from proxyclip.attention_maps import AttentionMap
from proxyclip.palette import class_colours
from proxyclip.qualitative import Panel
from proxyclip.text import Vocabulary

#: Inches of a picture's side in a figure.
CELL = 1.45
#: Inches that a title above a picture takes.
TITLE = 0.25
#: From this ratio of width to height on a figure has a picture less side by side.
WIDE = 1.5
#: Pictures side by side in a figure of attention maps; more would be too small on a phone.
ATTENTION_COLUMNS = 3
#: A class is named in the legend from this share of a picture on.
NAMED_FROM = 0.02


def vocabulary_colours(vocabulary: Vocabulary) -> np.ndarray:
    """Colours of a vocabulary's classes, (K, 3) uint8; a class called background is dark grey."""
    colours = class_colours(len(vocabulary))
    for index, name in enumerate(vocabulary.names):
        if name == "background":
            colours[index] = (58, 58, 58)
    return colours


def comparison(
    panels: Sequence[Panel], vocabulary: Vocabulary, titles: Mapping[str, str], columns: int | None = None
) -> Figure:
    """Image, ground truth and the prediction of each rule for every panel, with one legend.

    Parameters
    ----------
    panels : sequence of Panel
    vocabulary : Vocabulary
    titles : mapping of rule name to title
        In the order of the pictures.
    columns : int, optional
        Pictures side by side, one less of wide scenes; by default those of a panel stand in one row, under titles that
        all panels share.

    Returns
    -------
    matplotlib Figure
    """
    names = ["image", "ground truth", *titles.values()]
    colours = vocabulary_colours(vocabulary)
    height, width = panels[0].sample.labels.shape
    aspect = min(width / height, 2.0)
    across = columns or len(names)
    if columns and aspect > WIDE:  # or a phone would show the figure, and its letters, too small
        across = max(1, columns - 1)
    down = -(-len(names) // across)
    title = TITLE if down > 1 else 0.1
    figure = Figure(figsize=(across * CELL * aspect**0.5, len(panels) * down * (CELL * aspect**-0.5 + title) + 0.9),
                    layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels) * down, across, squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    shown: set[int] = set()
    for number, panel in enumerate(panels):
        axes = list(grid[number * down : (number + 1) * down].flat)
        axes[0].imshow(np.asarray(panel.sample.image))
        for ax, labels in zip(axes[1:], [panel.sample.labels, *(panel.labels[rule] for rule in titles)], strict=False):
            ax.imshow(_coloured(labels, colours), interpolation="nearest")
            shares = np.bincount(labels[labels >= 0], minlength=len(vocabulary)) / labels.size
            shown |= set(np.flatnonzero(shares >= NAMED_FROM).tolist())
        if number == 0 or down > 1:
            for ax, title in zip(axes, names, strict=False):
                ax.set_title(title, fontsize=11)
    handles = [Patch(color=colours[index] / 255, label=vocabulary.names[index]) for index in sorted(shown)]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4 if columns else 7, max(len(handles), 1)),
                  fontsize=10, frameon=False, handlelength=1, columnspacing=1.0, handletextpad=0.4)
    return figure


def _coloured(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(H, W) class ids to (H, W, 3) uint8; what is not counted stays white."""
    return np.where((labels >= 0)[..., None], colours[np.maximum(labels, 0)], 255).astype(np.uint8)


def attention(image: np.ndarray, point: tuple[int, int], maps: Mapping[str, AttentionMap]) -> Figure:
    """The image with a marked point, and the attention of the patch under it in each map.

    Weights are shown as multiples of the uniform weight 1/N, so that grids of different sizes compare.

    Parameters
    ----------
    image : (H, W, 3) uint8
    point : (row, column)
    maps : mapping of title to AttentionMap

    Returns
    -------
    matplotlib Figure
    """
    rows = -(-(1 + len(maps)) // ATTENTION_COLUMNS)
    figure = Figure(figsize=(ATTENTION_COLUMNS * 1.6, rows * 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, ATTENTION_COLUMNS, squeeze=False).ravel()
    first = next(iter(maps.values()))
    box, scale = first.box, image.shape[0] / first.working_size[0]
    axes[0].imshow(image)
    axes[0].add_patch(Rectangle((box.left * scale - 0.5, box.top * scale - 0.5), (box.right - box.left) * scale,
                                (box.bottom - box.top) * scale, fill=False, edgecolor="white", linewidth=1.2))
    axes[0].plot(point[1], point[0], marker="o", markersize=6, markerfacecolor="none", markeredgecolor="white",
                 markeredgewidth=1.6)
    axes[0].set_title("image, window", fontsize=11)
    for ax, (title, shown) in zip(axes[1:], maps.items(), strict=False):
        picture = ax.imshow(shown.multiples.cpu().numpy(), cmap="viridis", vmin=0)
        ax.plot(shown.patch[1], shown.patch[0], marker="o", markersize=6, markerfacecolor="none",
                markeredgecolor="white", markeredgewidth=1.6)
        ax.set_title(title, fontsize=11)
        bar = figure.colorbar(picture, ax=ax, location="bottom", shrink=0.85, pad=0.02)
        bar.ax.tick_params(labelsize=9)
    for ax in axes:
        ax.set_axis_off()
    return figure
