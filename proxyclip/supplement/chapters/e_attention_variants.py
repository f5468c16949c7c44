"""Section E does not say over which vectors CLIP's similarities are taken: the possible readings, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from proxyclip.rules import Adaptive, ClipAttention, Vanilla
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import CLIP_KINDS, DEFAULT, IDENTITY, enumerated, pivot
from proxyclip.supplement.claims.ledger import judge
from proxyclip.supplement.display_names import proxies_apart
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.measures.attention_maps import own_region_share
from proxyclip.supplement.records import Record, Verdict, table

#: What follows the kind (qk, qq, kk) in a rule's name -> the reading in words; the first is the default.
READINGS = {"": "full width, cosine", "dot": "full width, dot product", "each": "per head, cosine",
            "each/dot": "per head, dot product"}
#: Rows of Table 3, and the two that we add to them: CLIP as trained and the control.
ROWS = ("vanilla", *CLIP_KINDS, IDENTITY, DEFAULT)


def as_table_3(frame: pd.DataFrame, values: str = "value") -> pd.DataFrame:
    """mIoU in the form of Table 3: a row per method, a column per benchmark; a row per VFM where there are several."""
    frame = frame[frame["rule"].isin(ROWS) & (frame["dataset"] != "average") & (frame["metric"] == "miou")]
    frame = proxies_apart(frame)
    wide = pivot(frame, "method", "stands_for", values)
    order = frame.drop_duplicates("method").set_index("method")["rule"].map(ROWS.index)
    return wide.loc[order.sort_values(kind="stable").index]


def with_average(frame: pd.DataFrame) -> pd.DataFrame:
    """:func:`as_table_3` with the mean over its columns, under the headings of the paper."""
    return frame.assign(average=frame.mean(axis=1)).rename(columns=paper.COLUMN_OF_BENCHMARK)


def by_set(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """mIoU as measured, and the paper's: a row per set, a column per method."""
    measured = as_table_3(frame)
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
    rules = [Vanilla(), *map(ClipAttention, CLIP_KINDS), Adaptive()]
    for name, data in run.sets.items():
        count = min(images, run.count(data))
        for vfm in run.vfms:
            for rule, share in own_region_share(run.model(vfm), data, run.beside(vfm, rules), count).items():
                read = vfm if rule == Adaptive().name else ""
                run.record("own_region", share, "%", dataset=name, vfm=read, rule=rule, n=count)
    frame = run.table()
    frame = frame[frame["metric"] == "own_region"]
    wide = proxies_apart(frame).pivot_table(index="method", columns="metric", values="value", sort=False)
    return wide.rename(columns={"own_region": "attention in the own region, %"})


def region_order(frame: pd.DataFrame) -> str:
    """Whether the rules rank by mIoU as they do by attention in the own region, in two sentences."""
    shares, miou = (
        proxies_apart(frame[(frame["metric"] == metric) & frame["rule"].isin(ROWS) & (frame["rule"] != IDENTITY)])
        .groupby("method")["value"].mean() for metric in ("own_region", "miou"))
    names = [name for name in shares.sort_values().index if name in miou]
    if len(names) < 2:
        return "There are no two rules to compare."
    swapped = [(low, high) for place, low in enumerate(names) for high in names[place + 1 :] if miou[low] > miou[high]]
    ranked = " < ".join(f"{name} ({shares[name]:.0f} %)" for name in names)
    if not swapped:
        return f"By this share the order is {ranked}, and by mIoU it is the same."
    named = enumerated(f"{low} scores {miou[low]:.1f} mIoU and {high} {miou[high]:.1f}" for low, high in swapped)
    return (f"By this share the order is {ranked}. By mIoU it is not quite the same: {named}, so the share alone does "
            "not decide the score.")


def split(rule: str) -> tuple[str, str] | None:
    """Kind and reading of a rule's name, ``("qk", "each")``; None for other rules and for other maskings."""
    kind, _, reading = rule.partition("/")
    return (kind, reading) if kind in CLIP_KINDS and reading in READINGS else None


def averages(records: Iterable[Record], values: str = "value") -> pd.DataFrame:
    """Average mIoU over the sets (``values="error"``: its standard error): a row per kind, a column per reading."""
    frame = table(records)
    frame = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average")]
    found = frame["rule"].map(split)
    frame = frame[found.notna()]
    frame = frame.assign(kind=[CLIP_KINDS[kind] for kind, _ in found.dropna()],
                         reading=[READINGS[reading] for _, reading in found.dropna()])
    wide = pivot(frame, "kind", "reading", values)
    return wide.reindex(index=[kind for kind in CLIP_KINDS.values() if kind in wide.index],
                        columns=[reading for reading in READINGS.values() if reading in wide.columns])


def verdicts(records: Iterable[Record]) -> dict[str, dict[str, Verdict]]:
    """The claims of section E under each reading that was measured completely, as if it were the only one."""
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
        if {record.rule for record in kept} >= set(CLIP_KINDS):
            found[words] = judge(kept, "E")
    return found
