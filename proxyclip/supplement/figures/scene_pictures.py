"""Pictures of scenes: segmentations over the image, the wrong pixels, and a boundary close up.

They are drawn by the page and not by a plotting library: each is an ``img`` of the scene's own pixels, which the page
enlarges to the width of its column, and its title is text.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw

from proxyclip.inference.saving import data_uri
from proxyclip.inference.segmentation import class_colours
from proxyclip.supplement.measures.attention_maps import AttentionMap
from proxyclip.text import Vocabulary

#: A pixel of a scene becomes this many pixels of a picture, so that outlines can be thinner than one.
ENLARGE = 3
#: Share of the class's colour in an overlay; the rest is the image.
OPACITY = 0.62
#: Colour of pixels whose label is wrong, and of a frame around what is enlarged elsewhere.
WRONG, FRAME = (214, 40, 40), (255, 255, 255)
#: Sides of a close-up as shares of the scene's, and by how much it is enlarged.
CLOSE_UP, ZOOM = 0.28, 3


@dataclass(frozen=True)
class Picture:
    """One picture with its title and the text for readers who cannot see it."""

    pixels: np.ndarray
    title: str
    alt: str


@dataclass(frozen=True)
class SceneFigure:
    """Pictures in a grid, the colours' names below them, a caption and what a reader sees."""

    pictures: tuple[Picture, ...]
    columns: int  #: Pictures side by side on a page of full width; a phone shows two.
    #: Every class that is visible in one of the pictures, with its colour.
    names: tuple[tuple[str, tuple[int, int, int]], ...]
    caption: str
    seen: str = ""
    rows: bool = False  #: Whether the pictures of a row belong together, so that a phone keeps the columns.

    def _repr_html_(self) -> str:
        cells = "".join(map(_cell, self.pictures))
        kind = "panels rows" if self.rows else "panels"
        grid = f'<div class="{kind}" style="--across:{self.columns}">{cells}</div>'
        chips = "".join(f'<li><i style="background:rgb{colour}"></i>{html.escape(name)}</li>'
                        for name, colour in self.names)
        legend = f'<ul class="classes" aria-label="classes by colour">{chips}</ul>' if chips else ""
        seen = f'<p class="seen"><strong>What you see.</strong> {html.escape(self.seen)}</p>' if self.seen else ""
        below = f"{legend}<figcaption>{html.escape(self.caption)}{seen}</figcaption>"
        return f'<figure class="book-figure scenes">{grid}{below}</figure>'

    def __repr__(self) -> str:
        return self.caption


def _cell(picture: Picture) -> str:
    return (f'<div class="scene"><img src="{data_uri(picture.pixels)}" alt="{html.escape(picture.alt)}" '
            f'width="{picture.pixels.shape[1]}" height="{picture.pixels.shape[0]}"/>'
            f"<span>{html.escape(picture.title)}</span></div>")


def vocabulary_colours(vocabulary: Vocabulary) -> np.ndarray:
    """Colours of a vocabulary's classes, (K, 3) uint8; a class called background is dark grey."""
    colours = class_colours(len(vocabulary))
    for index, name in enumerate(vocabulary.names):
        if name == "background":
            colours[index] = (58, 58, 58)
    return colours


def plain(image: np.ndarray) -> np.ndarray:
    """The image at the size of the pictures."""
    return np.asarray(Image.fromarray(image).resize((image.shape[1] * ENLARGE, image.shape[0] * ENLARGE),
                                                    Image.Resampling.BICUBIC))


def overlay(image: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Labels in their colours over the image, with an outline between regions.

    Of an image (H, W, 3) uint8, labels (H, W) int, of which -1 is left as in the image, and colours (K, 3) uint8 it
    returns (ENLARGE * H, ENLARGE * W, 3) uint8.
    """
    large = np.repeat(np.repeat(labels, ENLARGE, 0), ENLARGE, 1)
    grey = plain(image).astype(float).mean(axis=2, keepdims=True)
    mixed = OPACITY * colours[np.maximum(large, 0)] + (1 - OPACITY) * grey
    mixed = np.where((large >= 0)[..., None], mixed, plain(image))
    mixed[_edges(large)] = 255
    return mixed.round().astype(np.uint8)


def _edges(labels: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour has another label."""
    found = np.zeros(labels.shape, dtype=bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def errors(image: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The image in pale grey, with the wrongly labelled pixels in red; pixels that do not count stay pale."""
    wrong = np.repeat(np.repeat((labels != truth) & (truth >= 0), ENLARGE, 0), ENLARGE, 1)
    pale = 150 + 0.4 * plain(image).astype(float).mean(axis=2, keepdims=True).repeat(3, axis=2)
    return np.where(wrong[..., None], np.array(WRONG), pale.clip(0, 255)).astype(np.uint8)


def error_share(labels: np.ndarray, truth: np.ndarray) -> float:
    """Share of the counted pixels whose label is wrong, per cent."""
    counted = truth >= 0
    return 100 * float((labels[counted] != truth[counted]).mean())


#: A part of a scene: top, left, height, width, in pixels.
Part = tuple[int, int, int, int]


def boundary_window(truth: np.ndarray, predictions: Sequence[np.ndarray], share: float = CLOSE_UP) -> Part:
    """Where to look closely: the part around a true boundary in which the predictions disagree most.

    Truth and predictions are (H, W) int; ``share`` are the sides of the part, as shares of the scene's.
    """
    high, wide = (max(1, round(share * side)) for side in truth.shape)
    edge = _edges(truth).astype(float)
    disagree = np.mean([prediction != predictions[0] for prediction in predictions], axis=0)
    best, place = -1.0, (0, 0, high, wide)
    step = max(1, high // 9)
    for top in range(0, truth.shape[0] - high + 1, step):
        for left in range(0, truth.shape[1] - wide + 1, step):
            part = slice(top, top + high), slice(left, left + wide)
            value = min(edge[part].mean() / 0.1, 1.0) * (0.05 + disagree[part].mean())
            if value > best:
                best, place = value, (top, left, high, wide)
    return place


def close_up(picture: np.ndarray, place: Part) -> np.ndarray:
    """A part of a picture, enlarged without smoothing."""
    top, left, high, wide = (at * ENLARGE for at in place)
    part = picture[top : top + high, left : left + wide]
    return np.asarray(Image.fromarray(part).resize((wide * ZOOM, high * ZOOM), Image.Resampling.NEAREST))


def framed(picture: np.ndarray, place: Part) -> np.ndarray:
    """A picture with a white frame, edged in black, around the part that is enlarged elsewhere."""
    drawn = Image.fromarray(picture)
    top, left, high, wide = (at * ENLARGE for at in place)
    bottom, right = min(top + high, picture.shape[0]) - 1, min(left + wide, picture.shape[1]) - 1
    for inset, colour in enumerate(((0, 0, 0), FRAME, FRAME, (0, 0, 0))):
        ImageDraw.Draw(drawn).rectangle((left + inset, top + inset, right - inset, bottom - inset), outline=colour)
    return np.asarray(drawn)


def visible(maps: Sequence[np.ndarray], vocabulary: Vocabulary) -> tuple[tuple[str, tuple[int, int, int]], ...]:
    """Every class with a pixel in one of the maps, with its colour, the largest first."""
    colours = vocabulary_colours(vocabulary)
    return tuple((vocabulary.names[index], tuple(colours[index].tolist())) for index, _ in _by_area(maps, vocabulary))


def _by_area(maps: Sequence[np.ndarray], vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """Classes with a pixel in one of the maps, and their numbers of pixels, the largest first."""
    every = np.concatenate([labels[labels >= 0] for labels in maps])
    total = np.bincount(every, minlength=len(vocabulary))
    return [(index, total[index]) for index in np.argsort(-total, kind="stable") if total[index]]


def comparison(
    image: np.ndarray, truth: np.ndarray, predictions: Mapping[str, np.ndarray], vocabulary: Vocabulary, caption: str,
    detail: bool = True,
) -> SceneFigure:
    """One scene under several methods: a row for each with its overlay, its error map and a boundary seen close up.

    Of an image (H, W, 3) uint8, its true labels (H, W) int and the predicted ones by title. Without ``detail`` only the
    overlays are shown, side by side.
    """
    colours = vocabulary_colours(vocabulary)
    place = boundary_window(truth, list(predictions.values()))
    wrong = {title: error_share(labels, truth) for title, labels in predictions.items()}
    laid = {title: overlay(image, labels, colours) for title, labels in predictions.items()}
    true = overlay(image, truth, colours)
    mark = partial(framed, place=place) if detail else np.asarray
    pictures = [Picture(mark(plain(image)), "image", "The image."),
                Picture(mark(true), "ground truth", f"Ground truth: {_listed(truth, vocabulary)}.")]
    if detail:
        pictures.append(Picture(close_up(true, place), "the framed part", "The framed part of the ground truth."))
    for title, labels in predictions.items():
        pictures.append(Picture(
            mark(laid[title]), f"{title}: {wrong[title]:.0f} % wrong",
            f"Segmentation by {title}: {_listed(labels, vocabulary)}; {wrong[title]:.0f} % of the pixels are wrong."))
        if detail:
            pictures.append(Picture(errors(image, labels, truth), "wrong pixels",
                                    f"Pixels that {title} labels wrongly, {wrong[title]:.0f} %."))
            pictures.append(Picture(close_up(laid[title], place), "the framed part", f"The framed part by {title}."))
    wide = truth.shape[1] > 1.5 * truth.shape[0]
    columns = 3 if detail else 2 if wide else 4
    return SceneFigure(tuple(pictures), columns, visible([truth, *predictions.values()], vocabulary), caption,
                       rows=detail)


def _listed(labels: np.ndarray, vocabulary: Vocabulary, most: int = 4) -> str:
    return ", ".join(f"{vocabulary.names[index]} {100 * pixels / labels.size:.0f} %"
                     for index, pixels in _by_area([labels], vocabulary)[:most])


def heat(weights: np.ndarray, size: tuple[int, int], mark: tuple[int, int] | None = None) -> np.ndarray:
    """A (rows, columns) map of weights as a picture of (height, width): dark is nothing, bright the largest.

    The cell ``mark``, (row, column), has a light blue frame.
    """
    import matplotlib as mpl  # colours only

    largest = float(weights.max()) or 1.0
    colours = (mpl.colormaps["magma"](weights / largest)[..., :3] * 255).astype(np.uint8)
    picture = Image.fromarray(colours).resize(size[::-1], Image.Resampling.NEAREST)
    if mark is not None:
        (top, bottom), (left, right) = ((int(at * side / count), int((at + 1) * side / count) - 1)
                                        for at, side, count in zip(mark, size, weights.shape, strict=True))
        ImageDraw.Draw(picture).rectangle((left, top, right, bottom), outline=(90, 220, 255), width=2)
    return np.asarray(picture)


def attention(image: np.ndarray, point: tuple[int, int], maps: Mapping[str, AttentionMap], caption: str) -> SceneFigure:
    """The image with a marked point, (row, column), and the attention of the patch under it in each map, by title.

    Weights are given as multiples of the uniform weight 1/N, so that grids of different sizes compare. All maps are of
    the same window of the image, (H, W, 3) uint8.
    """
    first = next(iter(maps.values()))
    scale = image.shape[0] / first.working_size[0]
    box = first.box
    top, left, bottom, right = (round(at * scale) for at in (box.top, box.left, box.bottom, box.right))
    shown = framed(plain(image), (top, left, bottom - top, right - left))
    shown = framed(shown, (point[0] - 2, point[1] - 2, 5, 5))
    size = ((bottom - top) * ENLARGE * 2, (right - left) * ENLARGE * 2)
    window = np.asarray(Image.fromarray(image[top:bottom, left:right]).resize(size[::-1], Image.Resampling.BICUBIC))
    pictures = [Picture(shown, "image; framed: window and patch", "The image, its window and the marked patch."),
                Picture(window, "the window", "The window alone.")]
    reach = {title: 100 * float((found.weights > 0).float().mean()) for title, found in maps.items()}
    for title, found in maps.items():
        multiples = found.multiples.cpu().numpy()
        pictures.append(Picture(
            heat(multiples, size, found.patch),
            f"{title}: up to {multiples.max():.1f} times uniform, on {reach[title]:.0f} % of the window",
            f"Attention of the marked patch under {title}; its largest weight is {multiples.max():.1f} times the "
            f"uniform one, and {reach[title]:.0f} % of the window receive any."))
    return SceneFigure(tuple(pictures), 3 if len(pictures) <= 6 else 4, (), caption)
