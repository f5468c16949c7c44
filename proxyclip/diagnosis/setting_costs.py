"""The result of a diagnosis: the cost of every setting with its error, and which of them explain an observed number."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from proxyclip.data.protocol_card import ProtocolCard
from proxyclip.diagnosis.settings import Setting
from proxyclip.evaluation.spread import bootstrap, draws_of, mean_iou

#: Half a unit of the last digit of a number as papers print it.
ROUNDING = 0.05


@dataclass(frozen=True)
class Finding:
    """The effect of changing one setting."""

    setting: Setting
    #: Per cent, and points lost against the protocol (negative: gained).
    miou: float
    cost: float
    error: float  #: Standard error of the cost, from resampling the images.
    draws: np.ndarray  #: (resamplings,) float64: the cost in every resampling.


@dataclass(frozen=True)
class Explanation:
    """Settings that lead to an observed number."""

    settings: tuple[str, ...]  #: Empty for the protocol itself, one name, or two whose costs are added.
    #: The resulting score, its standard error, and its distance from the observed number.
    miou: float
    error: float
    distance: float

    def __str__(self) -> str:
        names = " and ".join(self.settings) or "the protocol itself"
        return f"{names}: {self.miou:.2f} ± {self.error:.2f}, {self.distance:.2f} away"


def score(areas: np.ndarray, per_image: bool) -> float:
    """mIoU of a set, from the areas (images, 3, classes) of its images."""
    return float(mean_iou(areas).mean() if per_image else mean_iou(areas.sum(axis=0)))


def resampled(areas: np.ndarray, per_image: bool) -> np.ndarray:
    """:func:`score` of sets drawn from the images with replacement, (RESAMPLES,).

    The images drawn are always the same, so the difference of two configurations can be taken draw by draw.
    """
    if per_image:
        return draws_of(len(areas)) @ mean_iou(areas) / len(areas)
    return bootstrap(areas[:, None])[:, 0]


def finding(setting: Setting, base: np.ndarray, changed: np.ndarray, per_image: bool) -> Finding:
    """Compare the areas of all images with a setting changed with those under the protocol."""
    value = score(changed, per_image)
    draws = resampled(base, False) - resampled(changed, per_image)
    return Finding(setting, value, score(base, False) - value, float(draws.std(ddof=1)), draws)


@dataclass(frozen=True)
class Diagnosis:
    """What every setting costs on one set."""

    card: ProtocolCard
    rule: str
    dataset: str
    images: int
    complete: bool  #: Whether these are all images of the set.
    base: np.ndarray  #: (images, 3, classes) int64: areas under the protocol.
    findings: list[Finding]
    left_out: dict[str, str]  #: Setting -> the reason why it was not changed or has no effect.
    evaluations: float  #: Passes of the backbones, in evaluations under the protocol.

    @property
    def miou(self) -> float:
        """mIoU under the protocol, per cent."""
        return score(self.base, False)

    @property
    def error(self) -> float:
        """Standard error of :attr:`miou` as an estimate for more images of the same kind."""
        return float(resampled(self.base, False).std(ddof=1))

    def frame(self) -> pd.DataFrame:
        """One row per setting, the most expensive first: setting, card, changed, miou, cost, error (points)."""
        rows = [{"setting": found.setting.name, "card": found.setting.card, "changed": found.setting.changed,
                 "miou": found.miou, "cost": found.cost, "error": found.error}
                for found in sorted(self.findings, key=lambda found: -abs(found.cost))]
        return pd.DataFrame(rows, columns=["setting", "card", "changed", "miou", "cost", "error"])

    def explain(self, observed: float, most: int = 10) -> list[Explanation]:
        """Settings, alone and in pairs, that lead to within the error of an observed mIoU in per cent, ``most`` of
        them.

        Single settings come before pairs, and the nearest come first. The costs of a pair are added, which is an
        estimate. A pair is left out where one of the two explains the number alone, or both change the same field.
        """
        named = [self._explanation((), observed)]
        named += [self._explanation((found,), observed) for found in self.findings]
        pairs = [self._explanation(pair, observed) for pair in combinations(self.findings, 2)
                 if pair[0].setting.field != pair[1].setting.field]
        single, double = (
            sorted((one for one in part if one.distance <= max(one.error, ROUNDING)), key=lambda one: one.distance)
            for part in (named, pairs))
        alone = {name for one in single for name in one.settings}
        return [*single, *(one for one in double if alone.isdisjoint(one.settings))][:most]

    def _explanation(self, found: Sequence[Finding], observed: float) -> Explanation:
        value = self.miou - sum(one.cost for one in found)
        draws = sum((one.draws for one in found), np.zeros(1))
        if not self.complete:  # the observed number may come from more images than these
            draws = resampled(self.base, False) - draws
        error = float(draws.std(ddof=1)) if len(draws) > 1 else 0.0
        return Explanation(tuple(one.setting.name for one in found), value, error, abs(value - observed))

    def record(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "dataset": self.dataset, "card": self.card.reference(), "rule": self.rule, "images": self.images,
            "miou": self.miou, "error": self.error, "evaluations": self.evaluations,
            "settings": self.frame().to_dict("records"), "left_out": self.left_out,
        }
