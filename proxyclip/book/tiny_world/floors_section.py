"""The section of the appendix that compares the weights before and after: tables and sentences from the record."""

from __future__ import annotations

from typing import Any

from proxyclip.book.tiny_world.floors import RUNS, VFMS, Floor, by_model, judged, not_reached
from proxyclip.book.tiny_world.sections import code, listed, table, tables

#: What was tried for a demand, by its number; shown where the present weights miss it.
TRIED = {
    2: "Of every training the weights with the best separation of regions were kept (the highest AUC at a usable "
       "geometry), chosen on validation scenes; the last stage of tiny_dino was begun twice.",
    4: "The order of CLIP's own similarities depends on the tiny CLIP alone, which was not trained again.",
    5: "The tiny CLIP and the world were left as they were.",
}


def before_after(record: dict[str, Any]) -> str:
    """What was asked of the models, what they reach, and what they do not."""
    seeds, count = listed(map(str, record["seeds"])), record["scenes"]
    return f"""The foundation models were trained again because the earlier ones did not act as proxies. Earlier and
present weights read the same scenes with the same CLIP: seeds {seeds}, which served no training, no choice and no other
figure, {count} scenes per set and seed, {count * len(record["seeds"])} for each of the {len(record["sets"])} sets. mIoU
is counted over the seeds together and averaged over the sets.

{_demands(judged(record))}

{_models(record)}

{_summary(record)}
"""


def _demands(asked: list[Floor]) -> str:
    rows = [(str(one.number), one.asked, *(_mark(one, run) for run in RUNS)) for one in asked]
    return table(("", "asked", *RUNS), rows)


def _mark(one: Floor, run: str) -> str:
    return f"{'yes' if one.reached[run] else '**no**'}: {one.measured[run]}"


def _models(record: dict[str, Any]) -> str:
    """The five models by run: geometry and scores."""
    frame = by_model(record).set_index(["vfm", "run"])
    spread = record["gain_by_seed"]
    parts = []
    for run in RUNS:
        rows = []
        for vfm in VFMS:
            row, gains = frame.loc[vfm, run], spread[f"{run}/{vfm}"]
            rows.append((code(vfm), f"{row['mean']:.2f}", f"{row['kept']:.0f} %", f"{row['alone']:.1f} %",
                         f"{row['identity']:.1f}", f"{row['adaptive']:.1f}", f"{row['hard']:.1f} ({row['alpha']:g})",
                         f"{min(gains):+.1f} to {max(gains):+.1f}"))
        head = ("VFM", "mean cosine", "kept", "alone", "identity", "adaptive", "best alpha", "gain by seed")
        parts.append(f"Weights {run}:\n\n{tables(head, rows)}")
    return "\n\n".join(parts)


def _summary(record: dict[str, Any]) -> str:
    missed = not_reached(record)
    if not missed:
        return "The present weights reach all of it."
    sentences = [f"Not reached by the present weights is {len(missed)} of the {len(judged(record))} demands."]
    for one in missed:
        sentences.append(f"Of number {one.number} ({one.asked}) they have {one.measured['after']}.")
        sentences += [TRIED[one.number]] if one.number in TRIED else []
    return " ".join(sentences)
