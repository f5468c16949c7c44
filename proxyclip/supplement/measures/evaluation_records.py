"""The records of an evaluation: the mIoU of every rule, and what each mask leaves of the similarities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from proxyclip.evaluation.paired_comparison import compare
from proxyclip.evaluation.result import Evaluation, Row
from proxyclip.evaluation.spread import RESAMPLES
from proxyclip.rules import Adaptive, MaskingRule, Rule
from proxyclip.supplement.display_names import labels_of, method_of
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
    errors, scores = found.standard_errors(), found.scores()
    rows = [row for row in found.rows if isinstance(row, Row) and not math.isnan(scores[str(row)].miou)]
    described = {row.rule: {"rule": row.rule.name, "n": found.images, "setting": setting if isinstance(setting, str)
                            else setting[row.rule.name]} for row in rows}
    records = [record("miou", scores[str(row)].miou, "%", vfm=_read_by(row.rule, vfm), refinement=row.refinement,
                      error=errors[str(row)], **described[row.rule]) for row in rows]
    left = found.geometry().set_index("rule").to_dict("index")
    return records + [record(metric, left[rule.name][metric], unit, vfm=vfm, **described[rule])
                      for rule in _without_twins(described, left) for metric, unit in GEOMETRY.items()]


def _read_by(rule: Rule, vfm: str) -> str:
    """The foundation model, if a rule reads one."""
    return vfm if isinstance(rule, MaskingRule) else ""


def _without_twins(rules: Iterable[Rule], left: Mapping[str, Mapping[str, float]]) -> Iterable[Rule]:
    """One rule of those that leave the same of the similarities, by name: that with the default scale, if there is."""
    chosen: dict[tuple[float, ...], Rule] = {}
    for rule in rules:
        if rule.name in left:
            key = tuple(left[rule.name][metric] for metric in GEOMETRY)
            if key not in chosen or getattr(rule, "gamma", None) == Adaptive().gamma:
                chosen[key] = rule
    return chosen.values()


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
    read = [(Row.named(first), Row.named(second)) for first, second in pairs]
    labels = labels_of(vfms) if len(vfms) > 1 else {}
    for (name, vfm, seed), own in found.items():
        beside = found[name, vfms[0], seed]
        errors = beside.standard_errors() | own.standard_errors() if own.images > 1 else {}
        for other, row in read:
            first, second = str(other), str(row)
            if second not in own.rules or first not in errors:
                continue
            (pair,) = compare((own if first in own.rules else beside, first), (own, second), resamples=RESAMPLES)
            reads = _read_by(row.rule, vfm)
            record(DIFFERENCE, pair.difference, dataset=name, vfm=reads, seed=seed, rule=row.rule.name,
                   refinement=row.refinement, over=first, n=pair.images, error=pair.error)
            label = labels.get(reads, "")
            rows.append({"dataset": name, "seed": seed, "vfm": reads, "method": _shown(row, label),
                         "over": _shown(other, label if other.rule == row.rule else ""),
                         "difference": pair.difference, "error": pair.error,
                         "unpaired": math.hypot(errors[first], errors[second])})
    return pd.DataFrame(rows, columns=["dataset", "seed", "vfm", "method", "over", "difference", "error", "unpaired"])


def _shown(row: Row, vfm: str) -> str:
    """A score in words: ``ProxyCLIP (DINO) with PAMR``."""
    return f"{method_of(row.rule.name)}{vfm and f' ({vfm})'}{row.refinement and f' with {row.refinement.upper()}'}"
