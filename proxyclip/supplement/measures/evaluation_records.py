"""The records of an evaluation: the mIoU of every rule, and what each mask leaves of the similarities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from proxyclip.evaluation.paired_comparison import compare, full_name
from proxyclip.evaluation.result import REFINED, Evaluation
from proxyclip.evaluation.spread import RESAMPLES
from proxyclip.rules import Adaptive, MaskingRule
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.display_names import labels_of, shown
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
    found: Mapping[tuple[str, str | None, int | None], Evaluation], pairs: Iterable[tuple[str, str]],
    vfms: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Differences of two rules' mIoU, paired by image; what was not scored, or on one image only, is left out.

    Parameters
    ----------
    found : mapping of (set, VFM, seed) to Evaluation
        Of :meth:`proxyclip.supplement.experiment.Experiment.measure`.
    pairs : iterable of (str, str)
        The rule that is subtracted, and the rule; ``"adaptive + pamr"`` has refined masks. Rules that read CLIP alone
        were scored beside the first VFM.
    vfms : sequence of str

    Yields
    ------
    dict
        Fields of a :class:`Record`; ``what``, the difference in words; and ``unpaired``, the standard error that it
        would have if the two scores came from different images.
    """
    pairs = [(full_name(first), full_name(second)) for first, second in pairs]
    labels = labels_of(vfms) if len(vfms) > 1 else {}
    for (name, vfm, seed), own in found.items():
        beside = found[name, next(iter(vfms), None), seed]
        errors = beside.standard_errors() | own.standard_errors()
        for first, second in pairs:
            if own.images < 2 or second not in own.rules or first not in errors:
                continue
            (difference,) = compare((own if first in own.rules else beside, first), (own, second), resamples=RESAMPLES)
            rule, _, refinement = second.partition(REFINED)
            subtracted, _, with_it = first.partition(REFINED)
            read = vfm or "" if isinstance(parse_rule(rule), MaskingRule) else ""
            also = read if isinstance(parse_rule(subtracted), MaskingRule) else ""
            yield {"dataset": name, "seed": seed, "vfm": read, "rule": rule, "refinement": refinement, "over": first,
                   "n": difference.images, "value": difference.difference, "error": difference.error,
                   "what": f"{shown(rule, refinement, labels.get(read, ''))} over "
                           f"{shown(subtracted, with_it, labels.get(also, ''))}",
                   "unpaired": math.hypot(errors[first], errors[second])}


def _without_twins(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row of those with equal geometry, that of the default scale first."""
    chosen: dict[tuple[float, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[metric] for metric in GEOMETRY)
        if key not in chosen or getattr(parse_rule(row["rule"]), "gamma", None) == Adaptive().gamma:
            chosen[key] = row
    return list(chosen.values())
