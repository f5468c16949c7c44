"""The records of an evaluation: the mIoU of every rule, and what each mask leaves of the similarities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from proxyclip.evaluation.paired_comparison import compare, full_name
from proxyclip.evaluation.result import REFINED, Evaluation
from proxyclip.evaluation.spread import RESAMPLES
from proxyclip.rules import Adaptive, MaskingRule
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.records import Record

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

    Returns
    -------
    list of Record
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
    own: Evaluation, beside: Evaluation, pairs: Iterable[tuple[str, str]]
) -> Iterator[tuple[dict[str, Any], float]]:
    """Differences of two rules' mIoU, paired by image; pairs that were not scored are left out.

    Parameters
    ----------
    own : Evaluation
        Has the second rule of each pair, and the first if that is not in ``beside``.
    beside : Evaluation
        Of the same images, where rules were scored that read CLIP alone.
    pairs : iterable of (str, str)
        The rule that is subtracted, and the rule; ``"adaptive + pamr"`` has refined masks.

    Yields
    ------
    dict, float
        Fields of a :class:`Record`, and the standard error that an unpaired comparison would have.
    """
    if own.images < 2:
        return
    errors = beside.standard_errors() | own.standard_errors()
    for first, second in (tuple(map(full_name, pair)) for pair in pairs):
        if second not in own.rules or first not in errors:
            continue
        holder = own if first in own.rules else beside
        (found,) = compare((holder, first), (own, second), resamples=RESAMPLES)
        rule, _, refinement = second.partition(REFINED)
        fields = {"value": found.difference, "error": found.error, "rule": rule, "refinement": refinement,
                  "over": first, "n": found.images}
        yield fields, math.hypot(errors[first], errors[second])


def _without_twins(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row of those with equal geometry, that of the default scale first."""
    chosen: dict[tuple[float, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[metric] for metric in GEOMETRY)
        if key not in chosen or getattr(parse_rule(row["rule"]), "gamma", None) == Adaptive().gamma:
            chosen[key] = row
    return list(chosen.values())
