"""Classes of the long-tailed generated set by how much of them was ever captioned (section F)."""

from __future__ import annotations

import pandas as pd

#: Groups, in the order of a table.
TEXTURE, CAPTIONED, NEVER = "textures", "combinations that were captioned", "combinations that never were"


def group_of(name: str) -> str:
    """Group of a class of ``tiny/longtail``: a texture, or a (colour, pattern, thing) seen or not seen in training."""
    from proxyclip.tiny.world import STUFF, held_out

    if name in STUFF:
        return TEXTURE
    return NEVER if held_out(*name.split(" ")) else CAPTIONED


def by_novelty(per_class: pd.DataFrame) -> pd.DataFrame:
    """Mean IoU of each group of classes.

    Parameters
    ----------
    per_class : DataFrame
        As :meth:`proxyclip.outcome.Evaluation.per_class` gives it, of ``tiny/longtail``.

    Returns
    -------
    DataFrame
        A row per group with the number of its classes that occur, a column per rule: mIoU in per cent.
    """
    frame = per_class[per_class["pixels"] > 0]
    frame = frame.assign(group=[group_of(name) for name in frame["class"]])
    values = frame.pivot_table(index="group", columns="rule", values="iou", sort=False)
    counts = frame.groupby("group")["class"].nunique()
    return values.reindex([TEXTURE, CAPTIONED, NEVER]).dropna(how="all").assign(classes=counts)
