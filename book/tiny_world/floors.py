"""The requirements on the tiny models, and which of two sets of weights meets them, from ``before_after.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from proxyclip.rules import Adaptive, HardMask, Identity
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.claims.claim import CLOSE
from proxyclip.supplement.defaults import CHAPTER_SETS

RUNS = ("before", "after")
#: The self-supervised models; tiny_sam learns from masks.
VFMS = ("tiny_dino", "tiny_dino8", "tiny_dinov2", "tiny_mae", "tiny_sd")
#: The model whose range of beta is also measured, because it belongs to the paper's family.
SWEPT = "tiny_dino"
BETAS = (1.0, 1.2, 1.4, 1.6)
CLIP_RULES = ("vanilla", "qk", "qq", "kk")

DEFAULT, IDENTITY = Adaptive().name, Identity().name

#: Points of mIoU: the least gain over identity, the largest gap to the best fixed threshold, and the least gain of
#: perfect masks over identity.
GAIN, BELOW_BEST, ROOM = 3.0, 1.5, 15.0
#: How many of the five models must pass, how far best thresholds must differ, and DINO's least mIoU on tiny/context.
ENOUGH, SPREAD, CONTEXT = 4, 0.2, 60.0
PRECISION = {"stuff": 98.0, "things": 88.0}


@dataclass(frozen=True)
class Floor:
    """One requirement: its number, a sentence, and for each run what was measured and whether it suffices."""

    number: int
    asked: str
    measured: Mapping[str, str]
    reached: Mapping[str, bool]


def by_model(record: dict[str, Any], run: str) -> pd.DataFrame:
    """The models of one run, means of the sets.

    Returns
    -------
    DataFrame
        By VFM: identity, adaptive and hard (mIoU, the last under the best threshold), alpha (that threshold), mean
        (cosine), kept and alone (per cent).
    """
    rows = {}
    for vfm in VFMS:
        means = pd.DataFrame(record["miou"][f"{run}/{vfm}"]).mean()
        hard = means[[isinstance(parse_rule(rule), HardMask) for rule in means.index]]
        rows[vfm] = {"identity": means[IDENTITY], "adaptive": means[DEFAULT], "hard": hard.max(),
                     "alpha": parse_rule(hard.idxmax()).alpha, **record["geometry"][f"{run}/{vfm}"]}
    return pd.DataFrame.from_dict(rows, orient="index")


def judged(record: dict[str, Any]) -> list[Floor]:
    """All requirements in the order of their numbers."""
    requirements = [
        (1, "rows that keep only themselves at most 1 %, 8 to 60 % of the entries kept, mean cosine 0.1 to 0.75, for "
            f"all {len(VFMS)} models", _usable),
        (1, f"at least {GAIN:g} points ahead of identity for {ENOUGH} of {len(VFMS)} models, none behind it", _ahead),
        (2, f"within {BELOW_BEST:g} points of the model's best fixed threshold for {ENOUGH} of {len(VFMS)}",
         _close_to_best),
        (2, f"the best fixed thresholds differ by at least {SPREAD:g}", _spread),
        (3, f"`{SWEPT}` ahead of q-k, q-q and k-k on every set of chapter E", _ahead_of_clip),
        (3, f"`{SWEPT}`: each beta from {BETAS[0]:g} to {BETAS[-1]:g} within {100 * CLOSE:g} % of the best on every "
            "set of chapter B", _betas),
        (4, f"vanilla < q-k < lower of q-q and k-k < `{SWEPT}`, means of the sets", _order),
        (4, f"`{SWEPT}` on `tiny/context` at least {CONTEXT:g}", _context),
        (5, f"perfect masks at least {ROOM:g} points ahead of identity", _room),
        (5, "average precision of CLIP at least "
            + " and ".join(f"{least:g} ({kind})" for kind, least in PRECISION.items()), _precision),
    ]
    found = []
    for number, asked, judge in requirements:
        answers = {run: judge(record, run) for run in RUNS}
        found.append(Floor(number, asked, {run: figures for run, (figures, _) in answers.items()},
                           {run: bool(reached) for run, (_, reached) in answers.items()}))
    return found


def not_reached(record: dict[str, Any]) -> list[Floor]:
    """The requirements that the present weights miss."""
    return [floor for floor in judged(record) if not floor.reached["after"]]


def in_words(record: dict[str, Any]) -> str:
    """The requirements as lines of plain text."""
    return "\n".join(
        f"{floor.number} {floor.asked}\n" + "\n".join(
            f"    {run}: {'reached' if floor.reached[run] else 'NOT reached'}; {floor.measured[run]}" for run in RUNS)
        for floor in judged(record)
    )


# ---------------------------------------------------------------------------- of the five models together, for one run


def _usable(record: dict[str, Any], run: str) -> tuple[str, bool]:
    part = by_model(record, run)
    usable = (part["alone"] <= 1) & part["kept"].between(8, 60) & part["mean"].between(0.1, 0.75)
    figures = (f"alone {_range(part['alone'], '.1f')} %, kept {_range(part['kept'], '.0f')} %, "
               f"mean {_range(part['mean'], '.2f')}")
    return f"{usable.sum()} of {len(part)}: {figures}", usable.all()


def _ahead(record: dict[str, Any], run: str) -> tuple[str, bool]:
    part = by_model(record, run)
    gain = part["adaptive"] - part["identity"]
    figures = f"{(gain >= GAIN).sum()} of {len(part)}, {(gain < 0).sum()} behind; {_range(gain, '+.1f')} points"
    return figures, (gain >= GAIN).sum() >= ENOUGH and (gain >= 0).all()


def _close_to_best(record: dict[str, Any], run: str) -> tuple[str, bool]:
    part = by_model(record, run)
    difference = part["adaptive"] - part["hard"]
    close = difference >= -BELOW_BEST
    beyond = "".join(f", `{vfm}` {value:+.1f}" for vfm, value in difference[~close].items())
    return f"{close.sum()} of {len(part)}; {_range(difference, '+.1f')} points{beyond}", close.sum() >= ENOUGH


def _spread(record: dict[str, Any], run: str) -> tuple[str, bool]:
    alpha = by_model(record, run)["alpha"]
    return _range(alpha, "g"), alpha.max() - alpha.min() >= SPREAD - 1e-9


def _range(values: pd.Series, form: str) -> str:
    return f"{values.min():{form}} to {values.max():{form}}"


# ------------------------------------------------------------------------------------- of the swept model, for one run


def _scores(record: dict[str, Any], proxy: str, rule: str) -> pd.Series:
    return pd.Series(record["miou"][proxy][rule], record["sets"])


def beside_clip(record: dict[str, Any], run: str = "after") -> pd.DataFrame:
    """The swept model beside CLIP's own similarities, on the sets of chapter E.

    Returns
    -------
    DataFrame
        By set, mIoU: proxy, own (the best of q-k, q-q and k-k), identity, and perfect (with perfect masks).
    """
    own = pd.concat([_scores(record, "", kind) for kind in ("qk", "qq", "kk")], axis=1).max(axis=1)
    frame = pd.DataFrame({"proxy": _scores(record, f"{run}/{SWEPT}", DEFAULT), "own": own,
                          "identity": _scores(record, f"{run}/{SWEPT}", IDENTITY),
                          "perfect": _scores(record, "oracle", DEFAULT)})
    return frame.loc[[name for name in CHAPTER_SETS["tiny"]["E"] if name in record["sets"]]]


def _ahead_of_clip(record: dict[str, Any], run: str) -> tuple[str, bool]:
    frame = beside_clip(record, run)
    margin = frame["proxy"] - frame["own"]
    figures = f"{(margin > 0).sum()} of {len(margin)} sets; smallest margin {margin.min():+.1f} on `{margin.idxmin()}`"
    return figures, (margin > 0).all()


def _betas(record: dict[str, Any], run: str) -> tuple[str, bool]:
    sets = [name for name in CHAPTER_SETS["tiny"]["B"] if name in record["sets"]]
    grid = pd.DataFrame({beta: _scores(record, f"{run}/{SWEPT}", Adaptive(beta).name) for beta in BETAS}).loc[sets]
    shares = grid.div(grid.max(axis=1), axis=0).stack()
    name, beta = shares.idxmin()
    return f"at least {100 * shares.min():.1f} % (beta {beta:g} on `{name}`)", shares.min() >= CLOSE


def _order(record: dict[str, Any], run: str) -> tuple[str, bool]:
    vanilla, qk, qq, kk = (_scores(record, "", rule).mean() for rule in CLIP_RULES)
    chain = [vanilla, qk, min(qq, kk), _scores(record, f"{run}/{SWEPT}", DEFAULT).mean()]
    sign = " < " if chain == sorted(chain) else ", "
    return sign.join(f"{value:.1f}" for value in chain), all(np.diff(chain) > 0)


def _context(record: dict[str, Any], run: str) -> tuple[str, bool]:
    value = _scores(record, f"{run}/{SWEPT}", DEFAULT)["tiny/context"]
    return f"{value:.1f}", value >= CONTEXT


def _room(record: dict[str, Any], run: str) -> tuple[str, bool]:
    perfect, identity = _scores(record, "oracle", DEFAULT).mean(), _scores(record, f"{run}/{SWEPT}", IDENTITY).mean()
    return f"{perfect:.1f} against {identity:.1f}", perfect - identity >= ROOM


def _precision(record: dict[str, Any], run: str) -> tuple[str, bool]:
    found = record["average_precision"]
    return ", ".join(f"{found[kind]:.1f} ({kind})" for kind in PRECISION), all(
        found[kind] >= least for kind, least in PRECISION.items())
