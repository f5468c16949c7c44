"""Scenes of the tiny world with their ground truth, as the book shows them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from proxyclip.data.datasets import dataset
from proxyclip.supplement.figures import scene_pictures as scenes
from proxyclip.tiny.world.sets import SETS, VAL_SEED

#: Sets on the short page, with what each shows; the others are in the appendix.
SHOWN = {
    "tiny/context": "every kind of stuff and thing is a class",
    "tiny/voc": "things are classes, all the rest is background",
    "tiny/street": "wide scenes with the classes of a street",
    "tiny/longtail": "a thing's colour and pattern belong to its class",
}


def scene_figure(name: str, words: str = "", count: int = 2) -> scenes.SceneFigure:
    """The first validation scenes of a set, each beside its ground truth.

    Parameters
    ----------
    name : str
        A generated set.
    words : str
        What the set shows.
    count : int
        Number of scenes.
    """
    data = dataset(name, seed=VAL_SEED, length=count)
    colours = scenes.vocabulary_colours(data.vocabulary)
    pictures, truths = [], []
    for number in range(1, count + 1):
        sample = data[number - 1]
        image, truth = np.asarray(sample.image), sample.labels
        truths.append(truth)
        listed = ", ".join(text for text, _ in scenes.visible([truth], data.vocabulary))
        pictures += [scenes.Picture(scenes.plain(image), f"scene {number}", f"A generated scene with {listed}."),
                     scenes.Picture(scenes.overlay(image, truth, colours), "ground truth", f"Its regions: {listed}.")]
    row = SETS[name]
    caption = (f"{name}{': ' + words if words else ''}; {len(row.classes)} classes, {row.size[0]} x {row.size[1]} "
               f"pixels, corresponds to {row.stands_for}.")
    wide = row.size[1] > row.size[0]
    return scenes.SceneFigure(tuple(pictures), 2 if wide else 4, scenes.visible(truths, data.vocabulary), caption)


def fragments() -> Mapping[str, str]:
    """A figure of each set as HTML, by the name of its file."""
    return {f"scenes_{name.partition('/')[2]}": scene_figure(name, SHOWN.get(name, ""))._repr_html_() for name in SETS}
