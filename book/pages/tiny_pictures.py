"""Scenes of the tiny world with their ground truth, as the book shows them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn
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
    theme()
    rows = [(name, step, loss) for name, card in cards().items() for step, _, loss in card["curve"]
            if np.isfinite(loss)]
    frame = pd.DataFrame(rows, columns=["model", "step", "loss"])
    drawn = seaborn.relplot(frame, x="step", y="loss", hue="model", col="model", col_wrap=2, kind="line", height=1.9,
                            aspect=2.5, legend=False, facet_kws={"sharex": False, "sharey": False},
                            palette={name: style_of(name).light for name in frame["model"].unique()})
    drawn.set_titles("{col_name}").set(xlim=(0, None))
    ends = frame.groupby("model", sort=False)["loss"].agg(["first", "last"])
    caption = ("Training losses (running means) of the last run of each model. A jump marks the start of another "
               "stage, which has another loss.")
    losses = "; ".join(f"{row.Index} from {row.first:.2f} to {row.last:.2f}" for row in ends.itertuples())
    return shown(captioned(drawn, caption, f"Losses: {losses}."))


def fragments() -> Mapping[str, Markup]:
    """The losses, and a figure of each set, as HTML by the names of their files."""
    scenes_of_sets = {f"scenes_{name.partition('/')[2]}": shown(scene_figure(name, SHOWN.get(name, "")))
                      for name in SETS}
    return {"tiny_curves": curves(), **scenes_of_sets}
