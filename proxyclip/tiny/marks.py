"""Marks set for the tiny world before it was measured, and which of them its scores reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from proxyclip.tiny import findings
from proxyclip.tiny.findings import DEFAULT_RULE, DEFAULT_VFM
from proxyclip.tiny.world import STUFF, THINGS

#: Share of the vision foundation models, or of their families, that a floor asks for.
MOST = 4 / 5


@dataclass(frozen=True)
class Mark:
    """What was asked of one figure: a floor, and an aim beyond it."""

    what: str
    measured: str
    floor: str
    aim: str
    reaches_floor: bool
    reaches_aim: bool

    @property
    def verdict(self) -> str:
        if self.reaches_floor and self.reaches_aim:
            return "aim reached"
        return "floor reached" if self.reaches_floor else "not reached"

    def sentence(self) -> str:
        """The mark in a sentence."""
        floor, aim = ("is" if reached else "is not" for reached in (self.reaches_floor, self.reaches_aim))
        return f"{self.what}: {self.measured}. The floor ({self.floor}) {floor} reached, the aim ({self.aim}) {aim}."


def at_least(what: str, value: float, floor: float, aim: float, unit: str = "") -> Mark:
    return Mark(what, f"{value:.1f}{unit}", f"{floor:g}{unit}", f"{aim:g}{unit}", value >= floor, value >= aim)


def at_most(what: str, value: float, floor: float, aim: float, unit: str = "") -> Mark:
    limits = (f"at most {limit:g}{unit}" for limit in (floor, aim))
    return Mark(what, f"{value:.1f}{unit}", *limits, value <= floor, value <= aim)


def of_scores(scores: dict[str, Any]) -> list[Mark]:
    """Marks on recognition, the proxy, the oracle, vanilla CLIP and the long tail."""
    precision, frame = scores["average_precision"], findings.scores_frame(scores)
    default = frame[frame["rule"] == DEFAULT_RULE]
    context = default[default["set"] == "tiny/context"].groupby("proxy")["miou"].mean()
    order = findings.order(frame).loc["average"]
    tail = scores["longtail"]
    return [
        at_least("average precision, stuff", float(np.mean([precision[n] for n in STUFF])), 98, 99),
        at_least("average precision, things", float(np.mean([precision[n] for n in THINGS])), 88, 95),
        at_least(f"`tiny/context`, `{DEFAULT_VFM}`, mIoU", context[DEFAULT_VFM], 50, 65),
        at_least("`tiny/context`, oracle, mIoU", context["oracle"], 60, 75),
        at_most("vanilla CLIP, share of the proxy's mIoU", 100 * order["vanilla"] / order["proxy"], 50, 30, " %"),
        of_order(frame),
        of_controls(frame),
        at_least("uncaptioned combinations, share of the captioned ones' IoU",
                 100 * tail["held_out"] / tail["captioned"], 70, 90, " %"),
    ]  # fmt: skip


def of_order(frame: pd.DataFrame) -> Mark:
    steps = findings.order(frame)["step"]
    sets = steps.drop("average")
    return Mark(
        "smallest step of vanilla < q-k < q-q, k-k < proxy",
        f"{steps['average']:+.1f} points on average, {sets.min():+.1f} on `{sets.idxmin()}`",
        "above 0 on average", "3 points on every set", bool(steps["average"] > 0), bool(sets.min() >= 3),
    )  # fmt: skip


def of_controls(frame: pd.DataFrame) -> Mark:
    margins = findings.controls(frame)["average"]
    family = margins[list(findings.families(list(margins.index)).values())]
    ahead, least = int((family > 0).sum()), family.min()
    return Mark(
        "families ahead of both controls on average",
        f"{ahead} of {len(family)}, the last by {least:+.1f} points",
        f"{MOST:.0%} of them".replace("%", " %"), "all, by 5 points", ahead >= MOST * len(family), bool(least >= 5),
    )  # fmt: skip


def of_plateau(frame: pd.DataFrame) -> Mark:
    found = findings.plateau(frame)
    worst, default = found["gap"].max(), found.loc[found["proxy"] == DEFAULT_VFM, "gap"].max()
    sets = found["set"].nunique()
    return Mark(
        f"grid of beta and gamma, {sets} sets, worst point below the best",
        f"up to {default:.1f} points with `{DEFAULT_VFM}`, {worst:.1f} with any VFM",
        f"at most 2 with `{DEFAULT_VFM}`", "at most 2 with all", bool(default <= 2), bool(worst <= 2),
    )  # fmt: skip


def close_to_hard_masks(found: pd.DataFrame) -> int:
    """VFMs of :func:`proxyclip.tiny.findings.hard_masks` with which the adaptive rule is close to the best mask."""
    return int((found["difference"] >= -1.5).sum())


def of_hard_masks(frame: pd.DataFrame) -> Mark:
    found = findings.hard_masks(frame)
    close, differ = close_to_hard_masks(found), found["alpha"].nunique() > 1
    return Mark(
        "adaptive rule within 1.5 points of the best alpha",
        f"{close} of {len(found)} VFMs, best alphas {'differ' if differ else 'are the same'}",
        f"{MOST:.0%} of them, alphas differ".replace("%", " %"), "all, alphas differ",
        differ and close >= MOST * len(found), differ and close == len(found),
    )  # fmt: skip


def of_cost(cost: dict[str, Any]) -> list[Mark]:
    """Marks on seconds: all rules of all chapters, and a training crop."""
    scenes, crop = cost["stated_for"], cost["generator_ms"]["crop"]
    return [
        at_most(f"all rules of all chapters, {scenes} scenes a set", cost["seconds"], 120, 60, " s"),
        at_most("a training crop with its share of the scene", crop, 3, 3, " ms"),
    ]
