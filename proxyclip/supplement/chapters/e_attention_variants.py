"""Section E leaves open over which vectors CLIP's similarities are taken: its readings, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from proxyclip.supplement.claims.ledger import judge
from proxyclip.supplement.records import Record, Verdict, table

#: What follows the kind (qk, qq, kk) in a rule's name -> the reading in words; the first is the default.
READINGS = {"": "full width, cosine", "dot": "full width, dot product", "each": "per head, cosine",
            "each/dot": "per head, dot product"}
KINDS = {"qk": "q-k", "qq": "q-q", "kk": "k-k"}


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
