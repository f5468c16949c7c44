"""Section E leaves open over which vectors CLIP's similarities are taken: its readings, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from proxyclip.rules import Adaptive, ClipAttention, Identity, Vanilla
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import pivot
from proxyclip.supplement.claims.ledger import judge
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.measures.attention_maps import own_region_share
from proxyclip.supplement.records import Record, Verdict, table

#: What follows the kind (qk, qq, kk) in a rule's name -> the reading in words; the first is the default.
READINGS = {"": "full width, cosine", "dot": "full width, dot product", "each": "per head, cosine",
            "each/dot": "per head, dot product"}
KINDS = {"qk": "q-k", "qq": "q-q", "kk": "k-k"}


#: Rows of Table 3, and the two that stand beside them: CLIP as trained and the control.
ROWS = ("vanilla", "qk", "qq", "kk", Identity().name, Adaptive().name)


def as_table_3(frame: pd.DataFrame, values: str = "value") -> pd.DataFrame:
    """mIoU in the form of Table 3: a row per method, a column per benchmark; a row per VFM where there are several."""
    frame = frame[frame["rule"].isin(ROWS) & (frame["dataset"] != "average") & (frame["metric"] == "miou")]
    several = frame.loc[frame["vfm"] != "", "vfm"].nunique() > 1
    named = frame["method"] + (", " + frame["label"]) if several else frame["method"]
    frame = frame.assign(row=np.where(frame["vfm"] != "", named, frame["method"]))
    wide = pivot(frame, "row", "stands_for", values)
    order = frame.drop_duplicates("row").set_index("row")["rule"].map(ROWS.index)
    return wide.loc[order.sort_values(kind="stable").index]


def with_average(frame: pd.DataFrame) -> pd.DataFrame:
    """:func:`as_table_3` with the mean over its columns, under the headings of the paper."""
    return frame.assign(average=frame.mean(axis=1)).rename(columns=paper.COLUMN_OF_BENCHMARK)


def by_set(frame: pd.DataFrame, vfm: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """mIoU with one VFM, and the paper's: a row per set, a column per method."""
    measured = as_table_3(frame[frame["vfm"].isin(["", vfm])])
    printed = as_table_3(table(paper.published("E"))).reindex(columns=measured.columns)
    stood_for = frame.drop_duplicates("stands_for").set_index("stands_for")["dataset"]
    return measured.T.rename(index=stood_for), printed.T.rename(index=stood_for)


def measure_regions(run: Experiment, images: int = 4) -> pd.DataFrame:
    """Measure how much of each rule's attention stays in the region of the attending patch, and keep the records.

    Parameters
    ----------
    run : Experiment
    images : int
        Of each set, of the first seed.

    Returns
    -------
    DataFrame
        A row per rule, a column per VFM ("" for the rules that read CLIP alone), in per cent, mean over the sets.
    """
    own = [Vanilla(), *map(ClipAttention, KINDS)]
    for name, data in run.sets.items():
        count = min(images, run.count(data))
        for number, vfm in enumerate(run.vfms):
            rules = [Adaptive()] if number else [*own, Adaptive()]
            for rule, share in own_region_share(run.model(vfm), data, rules, count).items():
                read = vfm if rule == Adaptive().name else ""
                run.record("own_region", share, "%", dataset=name, vfm=read, rule=rule, n=count)
    frame = run.table()
    frame = frame[frame["metric"] == "own_region"]
    named = (frame["method"] + ", " + frame["vfm"]).str.removesuffix(", ")
    return frame.assign(row=named).pivot_table(index="row", columns="metric", values="value", sort=False).rename(
        columns={"own_region": "attention in the own region, %"})


def split(rule: str) -> tuple[str, str] | None:
    """Kind and reading of a rule's name, ``("qk", "each")``; None for other rules and for other maskings."""
    kind, _, reading = rule.partition("/")
    return (kind, reading) if kind in KINDS and reading in READINGS else None


def averages(records: Iterable[Record]) -> pd.DataFrame:
    """Average mIoU over the sets: a row per kind, a column per reading, in words."""
    frame = table(records)
    frame = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average")]
    parts = [(*found, value) for rule, value in zip(frame["rule"], frame["value"], strict=True)
             if (found := split(rule)) is not None]
    long = pd.DataFrame(parts, columns=["kind", "reading", "value"]).replace({"kind": KINDS, "reading": READINGS})
    wide = long.pivot_table(index="kind", columns="reading", values="value")
    return wide.reindex(index=[kind for kind in KINDS.values() if kind in wide.index],
                        columns=[reading for reading in READINGS.values() if reading in wide.columns])


def verdicts(records: Iterable[Record]) -> dict[str, dict[str, Verdict]]:
    """The claims of section E, judged as if each reading were the only one; by reading in words, complete ones only."""
    records = list(records)
    found = {}
    for reading, words in READINGS.items():
        kept = []
        for record in records:
            parts = split(record.rule)
            if parts is None:
                kept.append(record)
            elif parts[1] == reading:
                kept.append(replace(record, rule=parts[0]))
        if {record.rule for record in kept} >= set(KINDS):
            found[words] = judge(kept, "E")
    return found
