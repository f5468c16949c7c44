"""Scenes of the tiny world with their ground truth, as the book shows them."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from book.pages.rendering import shown
from book.pages.tiny_numbers import cards
from proxyclip.data.datasets import dataset
from proxyclip.supplement.figures import captioned, scene_pictures as scenes, theme
from proxyclip.supplement.figures.palette import style_of
from proxyclip.tiny.world.sets import SETS, VAL_SEED

#: Sets on the short page, with what each shows; the others are in the appendix.
SHOWN = {
    "tiny/context": "every kind of stuff and thing is a class",
    "tiny/voc": "things are classes, all the rest is background",
    "tiny/street": "wide scenes with the classes of a street",
    "tiny/longtail": "a thing's colour and pattern belong to its class",
}


def scene_figure(name: str, words: str = "", count: int = 2) -> scenes.SceneFigure:
    """The first validation scenes of a set, each beside its ground truth; ``words`` say what the set shows."""
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


def curves() -> Markup:
    """Training losses of every model, a panel each."""
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    theme()
    known = cards()
    rows = -(-len(known) // 2)
    figure, axes = pyplot.subplots(rows, 2, figsize=(9.5, 1.9 * rows), squeeze=False)
    ends = []
    for panel, (name, card) in zip(axes.flat, known.items(), strict=False):
        curve = np.array([row for row in card["curve"] if np.isfinite(row).all()])
        panel.plot(curve[:, 0], curve[:, 2], color=style_of(name).light)
        panel.set(title=name, xlim=(0, None), xlabel="step", ylabel="loss")
        panel.xaxis.set_major_locator(MaxNLocator(3))
        ends.append(f"{name} from {curve[0, 2]:.2f} to {curve[-1, 2]:.2f}")
    for panel in list(axes.flat)[len(known) :]:
        panel.remove()
    caption = ("Training losses (running means) of the last run of each model. A jump marks the start of another "
               "stage, which has another loss.")
    return shown(captioned(figure, caption, f"Losses: {'; '.join(ends)}."))


def fragments() -> Mapping[str, Markup]:
    """The losses, and a figure of each set, as HTML by the names of their files."""
    scenes_of_sets = {f"scenes_{name.partition('/')[2]}": shown(scene_figure(name, SHOWN.get(name, "")))
                      for name in SETS}
    return {"tiny_curves": curves(), **scenes_of_sets}
