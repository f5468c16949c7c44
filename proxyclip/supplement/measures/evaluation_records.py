"""The records of an evaluation: the mIoU of every rule, and what each mask leaves of the similarities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from proxyclip.evaluation.paired_comparison import compare, full_name
from proxyclip.evaluation.result import REFINED, Evaluation
from proxyclip.evaluation.spread import RESAMPLES
from proxyclip.rules import Adaptive, MaskingRule
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.display_names import labels_of, shown
from proxyclip.supplement.records import Record

#: Of an evaluation of a chapter: set, foundation model, seed.
Key = tuple[str, str | None, int | None]

#: Metric of a difference of two scores on the same images.
DIFFERENCE = "miou_difference"

#: Measures of a masking rule that an evaluation gives besides the score: metric -> unit.
GEOMETRY = {"mean_similarity": "", "threshold": "", "kept": "%", "rows_alone": "%"}


def from_evaluation(
    frame: pd.DataFrame, section: str, profile: str, dataset: str, vfm: str = "", seed: int | None = None,
    setting: str | Mapping[str, str] = "",
) -> list[Record]:
    """Turn the frame of :func:`proxyclip.evaluate` into records of mIoU, and of what each mask leaves.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns rule, miou, images; standard errors and geometry are taken from its ``attrs``. A row of refined masks
        becomes a record of its rule, with the refinement's name. Rules with the same threshold share their
        geometry, which is kept once: for the rule with the default scale, where it is among them.
    section, profile, dataset, vfm, seed, setting
        As for :class:`Record`; ``vfm`` is kept for the rules that read it, and ``setting`` may differ by rule name.
    """
    errors = frame.attrs.get("standard_errors", {})
    images = dict(zip(frame["rule"], frame["images"].astype(int), strict=True))
    settings = {rule: setting if isinstance(setting, str) else setting[rule] for rule in images if REFINED not in rule}
    found = []
    for row in frame.itertuples():
        rule, _, refinement = row.rule.partition(REFINED)  # "qq + pamr" is the rule qq with refined masks
        read = vfm if isinstance(parse_rule(rule), MaskingRule) else ""
        found.append(Record(section, profile, "miou", row.miou, "%", dataset, read, rule,
                            setting=settings[rule], refinement=refinement, n=images[row.rule], seed=seed,
                            error=errors.get(row.rule)))
    for row in _without_twins(frame.attrs.get("geometry", [])):
        if row["rule"] in images:
            found += [Record(section, profile, metric, row[metric], unit, dataset, vfm, row["rule"],
                             setting=settings[row["rule"]], n=images[row["rule"]], seed=seed)
                      for metric, unit in GEOMETRY.items()]
    return found


def paired_differences(
    found: Mapping[Key, Evaluation], pairs: Iterable[tuple[str, str]], vfms: Sequence[str], record: Callable[..., None]
) -> pd.DataFrame:
    """Differences of mIoU between rules, paired by image.

    Parameters
    ----------
    found : mapping
        Evaluations; rules that read CLIP alone were scored beside the first foundation model.
    pairs : iterable of (str, str)
        Names of rules: what is subtracted, and from what; ``"adaptive + pamr"`` has refined masks. Pairs that were not
        scored are left out, and a single image gives no difference.
    vfms : sequence of str
    record : callable
        Called with metric, value and the other fields of each difference's :class:`Record`.

    Returns
    -------
    DataFrame
        A row for each set, seed and pair: dataset, seed, vfm, method, over, difference, error and unpaired, the
        standard error if the two scores came from different images. Points of mIoU.
    """
    rows = []
    pairs = [(full_name(first), full_name(second)) for first, second in pairs]
    labels = labels_of(vfms) if len(vfms) > 1 else {}
    for (name, vfm, seed), own in found.items():
        beside = found[name, vfms[0] if vfms else None, seed]
        errors = beside.standard_errors() | own.standard_errors() if own.images > 1 else {}
        for first, second in pairs:
            if second not in own.rules or first not in errors:
                continue
            (pair,) = compare((own if first in own.rules else beside, first), (own, second), resamples=RESAMPLES)
            rule, _, refinement = second.partition(REFINED)
            other, _, other_refinement = first.partition(REFINED)
            reads = (vfm or "") if isinstance(parse_rule(rule), MaskingRule) else ""
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
