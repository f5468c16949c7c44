"""The picture on the first page: a few scenes under each readout, from a run of the shipped models."""

from __future__ import annotations

import sys
from pathlib import Path

from proxyclip.atomic import replacing
from proxyclip.datasets import dataset
from proxyclip.loading import load
from proxyclip.panels import comparison
from proxyclip.qualitative import predict
from proxyclip.rules import Adaptive, ClipAttention, MaskCLIP, Vanilla

#: Where README and the first page look for it.
HERO = Path("book/_static/hero.png")
SET, SCENES = "tiny/context", (0, 1, 2)


def draw(path: str | Path = HERO) -> Path:
    """Draw the first scenes of a test set under CLIP, MaskCLIP, q-q and ProxyCLIP, and write the picture atomically.

    Returns
    -------
    Path
        The picture, a PNG.
    """
    rules = {"CLIP": Vanilla(), "MaskCLIP": MaskCLIP(), "q-q": ClipAttention("qq"), "ProxyCLIP": Adaptive()}
    data = dataset(SET)
    drawn = list(predict(load(), data, list(rules.values()), SCENES))
    figure = comparison(drawn, data.vocabulary, {rule.name: title for title, rule in rules.items()})
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=150, metadata={"Software": None})
    return Path(path)


if __name__ == "__main__":
    print(draw(*sys.argv[1:2]))
