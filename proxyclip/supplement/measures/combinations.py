"""Combinations of words in the generated large vocabularies: which were captioned, and what is answered instead."""

from __future__ import annotations

import numpy as np
import pandas as pd

from proxyclip.evaluation.result import Evaluation

#: The row of ``tiny_supervised``, among the fully-supervised methods.
SUPERVISED = "segmenter on CLIP (masks of the training vocabulary)"
#: Groups of the classes of a large generated vocabulary, as section F's records name them, in the order of a table.
NOVELTY = TEXTURE, CAPTIONED, NEVER = ("textures", "combinations that were captioned", "combinations that never were")


def group_of(name: str) -> str:
    """Group of a class of a generated large vocabulary: a texture, or a combination seen or not seen in training."""
    from proxyclip.tiny.world.classes import STUFF, held_out

    if name in STUFF or len(name.split(" ")) != 3:
        return TEXTURE
    return NEVER if held_out(*name.split(" ")) else CAPTIONED


def by_novelty(per_class: pd.DataFrame) -> pd.DataFrame:
    """Mean IoU of each group of classes of ``tiny/longtail`` or ``tiny/medley``, a column per rule, in per cent.

    The frame is that of :meth:`proxyclip.evaluation.result.Evaluation.per_class`; ``classes`` is the number of classes
    of a group that occur.
    """
    frame = per_class[per_class["pixels"] > 0]
    frame = frame.assign(group=[group_of(name) for name in frame["class"]])
    values = frame.pivot_table(index="group", columns="rule", values="iou", sort=False)
    counts = frame.groupby("group")["class"].nunique()
    return values.reindex(list(NOVELTY)).dropna(how="all").assign(classes=counts)


def answered_textures(evaluation: Evaluation) -> dict[str, float]:
    """Share of the pixels of combined classes that each rule labels with a bare texture, in per cent.

    It is empty where the vocabulary has no combinations, or nothing else, or no pixel of them occurs.
    """
    combined = np.array([group_of(one) != TEXTURE for one in evaluation.classes])
    found = {}
    for rule, confusion in zip(evaluation.rules, evaluation.tally.confusions, strict=True):
        pixels = confusion.counts[combined].sum()
        if pixels and combined.any() and not combined.all():
            found[rule] = float(100 * confusion.counts[combined][:, ~combined].sum() / pixels)
    return found


def absent_classes(evaluation: Evaluation) -> dict[str, int]:
    """Number of classes that each rule predicts somewhere and that occur nowhere; each counts as 0 in the mIoU."""
    found = {}
    for rule, confusion in zip(evaluation.rules, evaluation.tally.confusions, strict=True):
        _, occurring, predicted = confusion.areas()
        found[rule] = int(((predicted > 0) & (occurring == 0)).sum())
    return found
