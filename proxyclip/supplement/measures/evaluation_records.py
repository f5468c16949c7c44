"""The records of an evaluation: the mIoU of every rule, and what each mask leaves of the similarities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from proxyclip.evaluation.paired_comparison import compare, full_name
from proxyclip.evaluation.result import Evaluation, Row
from proxyclip.evaluation.spread import RESAMPLES
from proxyclip.rules import Adaptive, MaskingRule
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.display_names import labels_of, shown
from proxyclip.supplement.records import Record

#: Of an evaluation of a chapter: set, foundation model, seed.
Key = tuple[str, str, int | None]

#: Metric of a difference of two scores on the same images.
DIFFERENCE = "miou_difference"

#: Measures of a masking rule that an evaluation gives besides the score: metric -> unit.
GEOMETRY = {"mean_similarity": "", "threshold": "", "kept": "%", "rows_alone": "%"}


def from_evaluation(
    found: Evaluation, record: Callable[..., Record], vfm: str = "", setting: str | Mapping[str, str] = ""
) -> list[Record]:
    """The mIoU of every rule of an evaluation, and what each mask leaves; rules without a counted pixel are left out.

    Refined masks become a record of their rule, with the refinement's name. Rules with the same threshold share their
    geometry, which is kept once: for the rule with the default scale, where it is among them. ``record`` makes a
    :class:`Record` of metric, value, unit and further fields; section, profile, set and seed are its own. The VFM is
    kept for the rules that read it, and the setting may differ by rule name.
    """
    errors = found.standard_errors()
    scores = {name: score.miou for name, score in found.scores().items() if not math.isnan(score.miou)}
    records = []
    for name, miou in scores.items():
        rule, refinement = Row.named(name)
        records.append(record("miou", miou, "%", vfm=_read_by(rule, vfm), rule=rule, setting=_of_rule(setting, rule),
                              refinement=refinement, n=found.images, error=errors[name]))
    for row in _without_twins(found.geometry().to_dict("records")):
        if (rule := row["rule"]) in scores:
            records += [record(metric, row[metric], unit, vfm=vfm, rule=rule, setting=_of_rule(setting, rule),
                               n=found.images) for metric, unit in GEOMETRY.items()]
    return records


def _read_by(rule: str, vfm: str) -> str:
    """The foundation model, if a rule reads one."""
    return vfm if isinstance(parse_rule(rule), MaskingRule) else ""


def _of_rule(setting: str | Mapping[str, str], rule: str) -> str:
    return setting if isinstance(setting, str) else setting[rule]


def paired_differences(
    found: Mapping[Key, Evaluation], pairs: Iterable[tuple[str, str]], vfms: Sequence[str], record: Callable[..., None]
) -> pd.DataFrame:
    """Differences of mIoU between rules, paired by image: a row for each set, seed and pair, in points.

    Of the evaluations, the rules that read CLIP alone were scored beside the first of the VFMs. A pair names what is
    subtracted, and from what; ``"adaptive + pamr"`` has refined masks. Pairs that were not scored are left out, and a
    single image gives no difference. ``record`` is called with metric, value and the other fields of each difference's
    :class:`Record`. In the frame, ``unpaired`` is the standard error if the two scores came from different images.
    """
    rows = []
    pairs = [(full_name(first), full_name(second)) for first, second in pairs]
    labels = labels_of(vfms) if len(vfms) > 1 else {}
    for (name, vfm, seed), own in found.items():
        beside = found[name, vfms[0], seed]
        errors = beside.standard_errors() | own.standard_errors() if own.images > 1 else {}
        for first, second in pairs:
            if second not in own.rules or first not in errors:
                continue
            (pair,) = compare((own if first in own.rules else beside, first), (own, second), resamples=RESAMPLES)
            (rule, refinement), (other, other_refinement) = Row.named(second), Row.named(first)
            reads = _read_by(rule, vfm)
            record(DIFFERENCE, pair.difference, dataset=name, vfm=reads, seed=seed, rule=rule, refinement=refinement,
                   over=first, n=pair.images, error=pair.error)
            label = labels.get(reads, "")
            rows.append({"dataset": name, "seed": seed, "vfm": reads, "method": shown(rule, refinement, label),
                         "over": shown(other, other_refinement, label if other == rule else ""),
                         "difference": pair.difference, "error": pair.error,
                         "unpaired": math.hypot(errors[first], errors[second])})
    return pd.DataFrame(rows, columns=["dataset", "seed", "vfm", "method", "over", "difference", "error", "unpaired"])


def _without_twins(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row of those with equal geometry, that of the default scale first."""
    chosen: dict[tuple[float, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[metric] for metric in GEOMETRY)
        if key not in chosen or getattr(parse_rule(row["rule"]), "gamma", None) == Adaptive().gamma:
            chosen[key] = row
    return list(chosen.values())
