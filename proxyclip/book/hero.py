"""The picture on the first page: a few scenes under each readout, from a run of the shipped models."""

from __future__ import annotations

import sys
from pathlib import Path

from proxyclip.data.datasets import dataset
from proxyclip.loading import load
from proxyclip.rules import Adaptive, ClipAttention, MaskCLIP, Vanilla
from proxyclip.supplement.chapters.g_qualitative import comparison, predict
from proxyclip.system.atomic import replacing

#: Where README and the first page look for it; a narrow screen is shown ``hero_narrow.png`` beside it.
HERO = Path("book/_static/hero.png")
#: Scenes, and pictures side by side, on a narrow screen.
NARROW_SCENES, NARROW_COLUMNS = 2, 3
SET, SCENES = "tiny/context", (0, 1, 2)


def draw(path: str | Path = HERO) -> Path:
    """Draw the first scenes of a test set under CLIP, MaskCLIP, q-q and ProxyCLIP, and write the pictures atomically.

    Returns
    -------
    Path
        The picture, a PNG; one of fewer scenes for narrow screens lies beside it, with ``_narrow`` in its name.
    """
    rules = {"CLIP": Vanilla(), "MaskCLIP": MaskCLIP(), "q-q": ClipAttention("qq"), "ProxyCLIP": Adaptive()}
    titles = {rule.name: title for title, rule in rules.items()}
    data = dataset(SET)
    drawn = list(predict(load(), data, list(rules.values()), SCENES))
    path = Path(path)
    narrow = path.with_stem(f"{path.stem}_narrow")
    for target, scenes, columns in ((path, drawn, None), (narrow, drawn[:NARROW_SCENES], NARROW_COLUMNS)):
        figure = comparison(scenes, data.vocabulary, titles, columns)
        with replacing(target) as partial:
            figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})
    return path


if __name__ == "__main__":
    print(draw(*sys.argv[1:2]))
