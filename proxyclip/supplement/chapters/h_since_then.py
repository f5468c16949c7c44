"""What came after the supplement, in the form of its Table 3, without and with refinement of the masks (chapter H)."""

from __future__ import annotations

import pandas as pd

from proxyclip.inference.pamr import PAMR
from proxyclip.rules import NACLIP, SCLIP, Adaptive, ClearCLIP, Identity, MaskCLIP, Rule, Vanilla
from proxyclip.supplement import paper
from proxyclip.supplement.chapters.f_large_vocabularies import blocks_of, published_gem
from proxyclip.supplement.claims.claim import pivot
from proxyclip.supplement.experiment import Experiment

#: Every rule is scored without it and with it.
REFINEMENT = PAMR()

#: The two refinements of the records in words.
REFINED = REFINEMENT.name
IN_WORDS = {"": "without PAMR", REFINED: "with PAMR"}


def compared(blocks: int) -> list[Rule]:
    """The rules of the chapter, in the order in which they were published; identity is the control of the proxy.

    Parameters
    ----------
    blocks : int
        Of CLIP's image tower, for GEM (:func:`proxyclip.supplement.chapters.f_large_vocabularies.published_gem`).
    """
    return [Vanilla(), MaskCLIP(), SCLIP(), published_gem(blocks), ClearCLIP(), NACLIP(), Identity(), Adaptive()]


def measure(run: Experiment) -> pd.DataFrame:
    """Score every rule on every set, seed and foundation model, without and with PAMR; returns the records."""
    run.measure(compared(blocks_of(run)), refine=REFINEMENT)
    return run.table()


def _scores(frame: pd.DataFrame) -> pd.DataFrame:
    """The mIoU of the sets, with the row that each record belongs to."""
    frame = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average")]
    named = frame["method"] + " (" + frame["label"] + ")"
    return frame.assign(row=named.where(frame["vfm"] != "", frame["method"]))


def as_table_3(frame: pd.DataFrame, values: str = "value") -> pd.DataFrame:
    """mIoU in the form of Table 3: two rows per method and VFM, a column per benchmark, and the average."""
    frame = _scores(frame)
    suffix = {"": "", REFINED: ", with PAMR"}
    order = [row + suffix[name] for row in dict.fromkeys(_in_order(frame)) for name in IN_WORDS]
    wide = pivot(frame.assign(row=frame["row"] + frame["refinement"].map(suffix)), "row", "stands_for", values)
    wide = wide.reindex([name for name in order if name in wide.index]).rename_axis(None)
    if values == "value":
        wide = wide.assign(average=wide.mean(axis=1))
    return wide.rename(columns=paper.COLUMN_OF_BENCHMARK)


def _in_order(frame: pd.DataFrame) -> list[str]:
    """Rows as the rules are listed: those that read CLIP alone, then each foundation model with its control."""
    models = sorted(frame["vfm"].unique(), key=bool)  # "", CLIP alone, comes first
    return [row for vfm in models for row in frame.loc[frame["vfm"] == vfm, "row"].unique()]


def by_set(frame: pd.DataFrame, refinement: str) -> pd.DataFrame:
    """mIoU under one refinement: a row per set, a column per method and foundation model.

    Controls that agree on every set, as those of models with the same grid do, share a column.
    """
    frame = _scores(frame)
    frame = frame[frame["refinement"] == refinement]
    wide = frame.pivot_table(index="dataset", columns="row", values="value", sort=False)[_in_order(frame)]
    return wide.loc[:, ~wide.T.duplicated().to_numpy()]


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """What PAMR brings each method: mean over the sets without and with it, and the smallest and largest change."""
    frame = _scores(frame)
    wide = frame.pivot_table(index=["row", "dataset"], columns="refinement", values="value", sort=False)
    change = wide[REFINED] - wide[""]
    means = wide.groupby("row", sort=False).mean().rename(columns=IN_WORDS)[list(IN_WORDS.values())]
    spread = change.groupby("row", sort=False).agg(["mean", "min", "max"])
    named = spread.set_axis(["change, mean of the sets", "least", "most"], axis=1)
    return means.join(named).reindex(dict.fromkeys(_in_order(frame))).rename_axis(None)
