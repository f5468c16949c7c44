"""The requirements on the tiny models, and which of two sets of weights meets them, from ``floors.json``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from proxyclip.rules import Adaptive, HardMask, Identity
from proxyclip.supplement.claims.claim import CLOSE
from proxyclip.supplement.defaults import CHAPTER_SETS
from proxyclip.supplement.paper import TABLE_2, TABLE_2_ALPHAS
from training.selection import SETS_AVERAGED

RUNS = ("before", "after")
#: The self-supervised models; tiny_sam learns from masks.
SELF_SUPERVISED = ("tiny_dino", "tiny_dino8", "tiny_dinov2", "tiny_mae", "tiny_sd")
#: The model of each family of Table 2.
FAMILIES = {"MAE": "tiny_mae", "SAM": "tiny_sam", "DINOv2": "tiny_dinov2", "DINO": "tiny_dino"}
VFMS = (*SELF_SUPERVISED, "tiny_sam")
#: The model whose range of beta is also measured, because it belongs to the paper's family.
SWEPT = "tiny_dino"
BETAS = (1.0, 1.2, 1.4, 1.6)
ALPHAS = TABLE_2_ALPHAS
#: The set that stands for COCO-Stuff, on which Table 2 was measured.
TABLE_2_SET = "tiny/stuff"
CLIP_RULES = ("vanilla", "qk", "qq", "kk")
DEFAULT, IDENTITY = Adaptive().name, Identity().name

#: Quantiles (5, 25, 50, 75, 95 %) and shares below 0, .2, .4, .6 and .8 (per cent) of the cosines of the published
#: DINOv2 ViT-S/14 on the photographs of the page "On real photographs", and their mean.
REAL_DINOV2 = {"mean": 0.49, "quantiles": (-0.21, 0.17, 0.57, 0.85, 0.99), "below": (17, 27, 38, 52, 70)}

#: Points of mIoU ahead of identity; per cent of rows alone; distance from the real quantiles; distance of the best
#: alphas; rank correlation with the printed rows; DINO's mIoU on tiny/context; size of the weights in MB.
GAIN, ALONE, NEAR, SPREAD, CORRELATION, CONTEXT, SIZE = 3.0, 2.0, 0.25, 0.2, 0.7, 60.0, 20.0
#: Least and most by VFM.
Ranges = Mapping[str, tuple[float, float]]
#: Of the share of cosines below 0.2 (per cent), and of the mean cosine.
BELOW: Ranges = {"tiny_sam": (0, 3), "tiny_mae": (0, 20), "tiny_dino": (20, 60), "tiny_dinov2": (20, 60)}
MEAN: Ranges = {"tiny_sam": (0.5, 1.0), "tiny_mae": (0.4, 1.0), "tiny_dinov2": (0.25, 0.6)}
#: Most of the share of tiny_sam's cosines below 0.4, in per cent.
SAM_BELOW = 25
PRECISION = {"stuff": 98.0, "things": 88.0}


Answer = tuple[str, bool]


@dataclass(frozen=True)
class Requirement:
    """Its number, a sentence, and for each run what was measured and whether it suffices."""

    number: int
    asked: str
    measured: Mapping[str, str]
    reached: Mapping[str, bool]


@dataclass(frozen=True)
class Run:
    """What a record says of one of its two sets of weights; answers are figures in words, and whether they suffice."""

    record: dict[str, Any]
    name: str  #: One of :data:`RUNS`.

    def fingerprint(self, vfm: str) -> dict[str, Any]:
        """Fingerprint of a VFM over the windows of all sets."""
        return self.record["geometry"][f"{self.name}/{vfm}"]["all"]

    def scores(self, vfm: str, rule: str) -> pd.Series:
        """mIoU by set, of CLIP's own rules for the VFM ""."""
        if rule == IDENTITY:  # that of the model's grid
            return pd.Series(self.record["miou"][f"after/{vfm if vfm == 'tiny_dino8' else 'tiny_dino'}"][rule])
        return pd.Series(self.record["miou"][vfm and f"{self.name}/{vfm}"][rule])

    def rows_of_table_2(self) -> pd.DataFrame:
        """mIoU on the set of Table 2 by family: a column for each alpha and, last, "adaptive"."""
        rules = {alpha: HardMask(alpha).name for alpha in ALPHAS} | {"adaptive": DEFAULT}
        rows = {family: {column: self.scores(vfm, rule)[TABLE_2_SET] for column, rule in rules.items()}
                for family, vfm in FAMILIES.items()}
        return pd.DataFrame.from_dict(rows, orient="index")

    def correlations(self) -> pd.Series:
        """Spearman's correlation of each family's row over alpha with the printed one."""
        rows = self.rows_of_table_2()[list(ALPHAS)]
        return pd.Series({family: float(spearmanr(row, TABLE_2[family][: len(ALPHAS)]).statistic)
                          for family, row in rows.iterrows()})

    def shares(self) -> pd.DataFrame:
        """Per cent of each family's best alpha that every alpha and the adaptive rule reach."""
        rows = self.rows_of_table_2()
        return 100 * rows.div(rows[list(ALPHAS)].max(axis=1), axis=0)

    def within(self, ranges: Ranges, form: str, key: str, index: int | None = None) -> Answer:
        """A number of the fingerprint of each VFM, against its range."""
        found = {vfm: self.fingerprint(vfm)[key] for vfm in ranges}
        if index is not None:
            found = {vfm: values[index] for vfm, values in found.items()}
        return _listed(found, form), all(low <= found[vfm] <= high for vfm, (low, high) in ranges.items())

    def ahead(self) -> Answer:
        gain = {vfm: self.scores(vfm, DEFAULT).mean() - self.scores(vfm, IDENTITY).mean() for vfm in SELF_SUPERVISED}
        return _listed(gain, "+.1f"), min(gain.values()) >= GAIN

    def sam_below(self) -> Answer:
        share = self.fingerprint("tiny_sam")["below"][2]
        return f"{share:.0f} %", share <= SAM_BELOW

    def quantiles(self) -> Answer:
        found = np.array(self.fingerprint("tiny_dinov2")["quantiles"])
        return " ".join(f"{value:+.2f}" for value in found), np.abs(found - REAL_DINOV2["quantiles"]).max() <= NEAR

    def spread(self) -> Answer:
        best = self.rows_of_table_2()[list(ALPHAS)].idxmax(axis=1)
        return _listed(best, "g"), best.max() - best.min() >= SPREAD - 1e-9

    def no_single_alpha(self) -> Answer:
        worst = self.shares()[list(ALPHAS)].min()
        return f"alpha {worst.idxmax():g} reaches {worst.max():.1f} % at least", worst.max() < 100 * CLOSE

    def adaptive(self) -> Answer:
        shares = self.shares()["adaptive"]
        return _listed(shares, ".1f"), shares.min() >= 100 * CLOSE

    def correlation(self) -> Answer:
        found = self.correlations()
        return _listed(found, ".2f"), found.min() >= CORRELATION - 1e-9

    def order(self) -> Answer:
        vanilla, qk, qq, kk = (self.scores("", rule).mean() for rule in CLIP_RULES)
        chain = [vanilla, qk, min(qq, kk), self.scores(SWEPT, DEFAULT).mean()]
        return " < ".join(f"{value:.1f}" for value in chain), bool(np.all(np.diff(chain) > 0))

    def ahead_of_clip(self) -> Answer:
        own = pd.concat([self.scores("", rule) for rule in CLIP_RULES[1:]], axis=1).max(axis=1)
        margin = (self.scores(SWEPT, DEFAULT) - own)[_chapter("E")]
        ahead = f"{(margin > 0).sum()} of {len(margin)} sets"
        return f"{ahead}; smallest margin {margin.min():+.1f} on `{margin.idxmin()}`", (margin > 0).all()

    def betas(self) -> Answer:
        grid = pd.DataFrame({beta: self.scores(SWEPT, Adaptive(beta).name) for beta in BETAS}).loc[_chapter("B")]
        shares = grid.div(grid.max(axis=1), axis=0).stack()
        name, beta = shares.idxmin()
        return f"at least {100 * shares.min():.1f} % (beta {beta:g} on `{name}`)", shares.min() >= CLOSE

    def context(self) -> Answer:
        value = self.scores(SWEPT, DEFAULT)["tiny/context"]
        return f"{value:.1f}", value >= CONTEXT

    def precision(self) -> Answer:
        found = self.record["average_precision"]
        return (", ".join(f"{found[kind]:.1f} ({kind})" for kind in PRECISION),
                all(found[kind] >= least for kind, least in PRECISION.items()))

    def size(self) -> Answer:
        size = self.record["bytes"][self.name] / 1e6
        return f"{size:.1f} MB", size <= SIZE


def _listed(values: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{name.removeprefix('tiny_')} {value:{form}}" for name, value in values.items())


def _in_words(ranges: Ranges) -> str:
    return "; ".join(f"`{vfm}` {low} to {high}" for vfm, (low, high) in ranges.items())


def _chapter(letter: str) -> list[str]:
    return [name for name in CHAPTER_SETS["tiny"][letter] if name in SETS_AVERAGED]


#: Number, sentence, and what is measured.
REQUIREMENTS: tuple[tuple[int, str, Callable[[Run], Answer]], ...] = (
    (1, f"rows that keep only themselves at most {ALONE:g} %, for all {len(SELF_SUPERVISED)} self-supervised models",
     lambda run: run.within(dict.fromkeys(SELF_SUPERVISED, (0, ALONE)), ".1f", "alone")),
    (1, f"at least {GAIN:g} points ahead of identity on the mean of the sets for all {len(SELF_SUPERVISED)}",
     Run.ahead),
    (2, f"share of cosines below 0.2 in per cent: {_in_words(BELOW)}",
     lambda run: run.within(BELOW, ".0f", "below", 1)),
    (2, f"share of cosines of `tiny_sam` below 0.4 at most {SAM_BELOW} %", Run.sam_below),
    (2, f"mean cosine: {_in_words(MEAN)}", lambda run: run.within(MEAN, ".2f", "mean")),
    (2, f"quantiles of `tiny_dinov2` (5, 25, 50, 75, 95 %) within {NEAR:g} of the real DINOv2's", Run.quantiles),
    (3, f"best alphas of the families differ by at least {SPREAD:g}", Run.spread),
    (3, f"no single alpha reaches {100 * CLOSE:g} % of the best for every family", Run.no_single_alpha),
    (3, f"the adaptive rule reaches {100 * CLOSE:g} % of the best alpha for every family", Run.adaptive),
    (3, f"rank correlation of each family's row with the printed one at least {CORRELATION:g}", Run.correlation),
    (4, f"vanilla < q-k < lower of q-q and k-k < `{SWEPT}`, means of the sets", Run.order),
    (4, f"`{SWEPT}` ahead of q-k, q-q and k-k on every set of chapter E", Run.ahead_of_clip),
    (4, f"`{SWEPT}`: each beta from {BETAS[0]:g} to {BETAS[-1]:g} within {100 * CLOSE:g} % of the best on every set of "
        "chapter B", Run.betas),
    (4, f"`{SWEPT}` on `tiny/context` at least {CONTEXT:g}", Run.context),
    (4, "average precision of CLIP at least "
        + " and ".join(f"{least:g} ({kind})" for kind, least in PRECISION.items()), Run.precision),
    (5, f"all weights together at most {SIZE:g} MB", Run.size),
)


def judged(record: dict[str, Any]) -> list[Requirement]:
    """All requirements in the order of their numbers."""
    found = []
    for number, asked, judge in REQUIREMENTS:
        answers = {run: judge(Run(record, run)) for run in RUNS}
        found.append(Requirement(number, asked, {run: figures for run, (figures, _) in answers.items()},
                                 {run: bool(reached) for run, (_, reached) in answers.items()}))
    return found


def in_words(record: dict[str, Any]) -> str:
    """The requirements as lines of plain text."""
    return "\n".join(
        f"{one.number} {one.asked}\n" + "\n".join(
            f"    {run}: {'reached' if one.reached[run] else 'NOT reached'}; {one.measured[run]}" for run in RUNS)
        for one in judged(record)
    )
