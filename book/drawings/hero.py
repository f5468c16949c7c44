"""The cover: scenes under each readout, from the shipped models (``python -m book.drawings.hero``).

README shows it, and services that preview a link to the book.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from proxyclip.data.datasets import dataset
from proxyclip.loading import load
from proxyclip.rules import Adaptive, ClipAttention, MaskCLIP, Vanilla
from proxyclip.supplement.figures import scene_pictures as scenes
from proxyclip.supplement.measures.outlines import predict
from proxyclip.system.atomic import replacing

#: Where README and the first page expect it.
HERO = Path("book/_static/hero.png")
SET, SCENES = "tiny/context", (0, 1, 2)
#: Pixels between pictures, height of a title and size of its letters.
GAP, TITLE, LETTERS = 12, 44, 26


def draw(path: str | Path = HERO) -> Path:
    """Draw the first scenes of a test set under CLIP, MaskCLIP, q-q and ProxyCLIP; write the PNG atomically."""
    rules = {"CLIP": Vanilla(), "MaskCLIP": MaskCLIP(), "q-q": ClipAttention("qq"), "ProxyCLIP": Adaptive()}
    data = dataset(SET)
    rows = []
    for panel in predict(load(), data, list(rules.values()), SCENES):
        image, maps = np.asarray(panel.sample.image), {title: panel.labels[rule.name] for title, rule in rules.items()}
        shown = scenes.comparison(image, panel.sample.labels, maps, data.vocabulary, SET, detail=False)
        rows.append([picture.pixels for picture in shown.pictures])
    sheet = _sheet(["image", "ground truth", *rules], rows)
    path = Path(path)
    with replacing(path) as partial:
        sheet.quantize(256, dither=Image.Dither.NONE).save(partial, format="png", optimize=True)
    return path


def _sheet(titles: list[str], rows: list[list[np.ndarray]]) -> Image.Image:
    height, width = rows[0][0].shape[:2]
    sheet = Image.new("RGB", (len(titles) * (width + GAP) - GAP, TITLE + len(rows) * (height + GAP) - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        left = column * (width + GAP)
        pen.text((left, 4), title, fill="#1f2329", font=ImageFont.load_default(LETTERS))
        for row, pictures in enumerate(rows):
            sheet.paste(Image.fromarray(pictures[column]), (left, TITLE + row * (height + GAP)))
    return sheet


if __name__ == "__main__":
    print(draw(*sys.argv[1:2]))
