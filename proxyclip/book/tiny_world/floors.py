"""What is asked of the tiny models, and which of two sets of weights reaches it: functions of ``before_after.json``."""

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
#: The model whose range of beta is measured too: it belongs to the paper's family.
SWEPT = "tiny_dino"
BETAS = (1.0, 1.2, 1.4, 1.6)
CLIP_RULES = ("vanilla", "qk", "qq", "kk")

DEFAULT, IDENTITY = Adaptive().name, Identity().name

#: Points of mIoU: ahead of identity, below the best fixed threshold at most, and of perfect masks ahead of identity.
GAIN, BELOW_BEST, ROOM = 3.0, 1.5, 15.0
#: Of the five models so many must pass; best thresholds must differ by this; ``tiny/context`` under DINO; the APs.
ENOUGH, SPREAD, CONTEXT = 4, 0.2, 60.0
PRECISION = {"stuff": 98.0, "things": 88.0}


@dataclass(frozen=True)
class Floor:
    """One thing that is asked: its number, a sentence, and per run what was measured and whether it suffices."""

    number: int
    asked: str
    measured: Mapping[str, str]
    reached: Mapping[str, bool]


def by_model(record: dict[str, Any]) -> pd.DataFrame:
    """One row per run and VFM, means of the sets.

    Returns
    -------
    DataFrame
        Columns run, vfm, identity, adaptive, hard (of the best threshold), alpha (that threshold), mean (cosine), kept,
        alone (per cent).
    """
    rows = []
    for run in RUNS:
        for vfm in VFMS:
            means = {rule: float(np.mean(values)) for rule, values in record["miou"][f"{run}/{vfm}"].items()}
            hard = {rule: value for rule, value in means.items() if isinstance(parse_rule(rule), HardMask)}
            best = max(hard, key=hard.get)
            rows.append({"run": run, "vfm": vfm, "identity": means[IDENTITY], "adaptive": means[DEFAULT],
                         "hard": hard[best], "alpha": parse_rule(best).alpha, **record["geometry"][f"{run}/{vfm}"]})
    return pd.DataFrame(rows)


def judged(record: dict[str, Any]) -> list[Floor]:
    """Everything that is asked, in the order of its numbers."""
    frame = by_model(record)
    parts = {run: frame[frame["run"] == run].set_index("vfm") for run in RUNS}
    return [
        _of_each(1, f"rows that keep only themselves at most 1 %, 8 to 60 % of the entries kept, mean cosine 0.1 to "
                 f"0.75, for all {len(VFMS)} models", parts, _usable),
        _of_each(1, f"at least {GAIN:g} points ahead of identity for {ENOUGH} of {len(VFMS)} models, none behind it",
                 parts, _ahead),
        _of_each(2, f"within {BELOW_BEST:g} points of the model's best fixed threshold for {ENOUGH} of {len(VFMS)}",
                 parts, _close_to_best),
        _of_each(2, f"the best fixed thresholds differ by at least {SPREAD:g}", parts, _spread),
        _of_each(3, f"`{SWEPT}` ahead of q-k, q-q and k-k on every set of chapter E", _runs(record), _ahead_of_clip),
        _of_each(3, f"`{SWEPT}`: each beta from {BETAS[0]:g} to {BETAS[-1]:g} within {100 * CLOSE:g} % of the best on "
                 "every set of chapter B", _runs(record), _betas),
        _of_each(4, f"vanilla < q-k < lower of q-q and k-k < `{SWEPT}`, means of the sets", _runs(record), _order),
        _of_each(4, f"`{SWEPT}` on `tiny/context` at least {CONTEXT:g}", _runs(record), _context),
        _of_each(5, f"perfect masks at least {ROOM:g} points ahead of identity", _runs(record), _room),
        _of_each(5, "average precision of CLIP at least "
                 + " and ".join(f"{least:g} ({kind})" for kind, least in PRECISION.items()), _runs(record), _precision),
    ]  # fmt: skip


def not_reached(record: dict[str, Any]) -> list[Floor]:
    """What the present weights do not reach."""
    return [floor for floor in judged(record) if not floor.reached["after"]]


def in_words(record: dict[str, Any]) -> str:
    """The floors as lines of plain text."""
    return "\n".join(
        f"{floor.number} {floor.asked}\n" + "\n".join(
            f"    {run}: {'reached' if floor.reached[run] else 'NOT reached'}; {floor.measured[run]}" for run in RUNS)
        for floor in judged(record)
    )  # fmt: skip


def _of_each(number: int, asked: str, parts: Mapping[str, Any], judge: Any) -> Floor:
    answers = {run: judge(part) for run, part in parts.items()}
    return Floor(number, asked, {run: answer[0] for run, answer in answers.items()},
                 {run: bool(answer[1]) for run, answer in answers.items()})


# ------------------------------------------------------------------------------------------ of the five models together


def _usable(part: pd.DataFrame) -> tuple[str, bool]:
    usable = (part["alone"] <= 1) & part["kept"].between(8, 60) & part["mean"].between(0.1, 0.75)
    figures = (f"alone {_range(part['alone'], '.1f')} %, kept {_range(part['kept'], '.0f')} %, "
               f"mean {_range(part['mean'], '.2f')}")
    return f"{usable.sum()} of {len(part)}: {figures}", usable.all()


def _ahead(part: pd.DataFrame) -> tuple[str, bool]:
    gain = part["adaptive"] - part["identity"]
    figures = f"{(gain >= GAIN).sum()} of {len(part)}, {(gain < 0).sum()} behind; {_range(gain, '+.1f')} points"
    return figures, (gain >= GAIN).sum() >= ENOUGH and (gain >= 0).all()


def _close_to_best(part: pd.DataFrame) -> tuple[str, bool]:
    difference = part["adaptive"] - part["hard"]
    close = difference >= -BELOW_BEST
    beyond = "".join(f", `{vfm}` {value:+.1f}" for vfm, value in difference[~close].items())
    return f"{close.sum()} of {len(part)}; {_range(difference, '+.1f')} points{beyond}", close.sum() >= ENOUGH


def _spread(part: pd.DataFrame) -> tuple[str, bool]:
    low, high = part["alpha"].min(), part["alpha"].max()
    return f"{low:g} to {high:g}", high - low >= SPREAD - 1e-9


def _range(values: pd.Series, form: str) -> str:
    return f"{values.min():{form}} to {values.max():{form}}"


# -------------------------------------------------------------------------------------------------- of the swept model


def _runs(record: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    return {run: (record, f"{run}/{SWEPT}") for run in RUNS}


def _scores(run: tuple[dict[str, Any], str], rule: str, proxy: str | None = None) -> pd.Series:
    record, own = run
    return pd.Series(record["miou"][own if proxy is None else proxy][rule], record["sets"])


def beside_clip(record: dict[str, Any], run: str = "after") -> pd.DataFrame:
    """The swept model beside CLIP's own similarities, on the sets of chapter E.

    Returns
    -------
    DataFrame
        By set, mIoU: proxy, own (the best of q-k, q-q and k-k), identity, and perfect (with perfect masks).
    """
    one = (record, f"{run}/{SWEPT}")
    own = pd.concat([_scores(one, kind, "") for kind in ("qk", "qq", "kk")], axis=1).max(axis=1)
    frame = pd.DataFrame({"proxy": _scores(one, DEFAULT), "own": own, "identity": _scores(one, IDENTITY),
                          "perfect": _scores(one, DEFAULT, "oracle")})
    return frame.loc[[name for name in CHAPTER_SETS["tiny"]["E"] if name in record["sets"]]]


def _ahead_of_clip(run: tuple[dict[str, Any], str]) -> tuple[str, bool]:
    frame = beside_clip(run[0], run[1].partition("/")[0])
    sets, margin = frame.index, frame["proxy"] - frame["own"]
    figures = f"{(margin > 0).sum()} of {len(sets)} sets; smallest margin {margin.min():+.1f} on `{margin.idxmin()}`"
    return figures, (margin > 0).all()


def _betas(run: tuple[dict[str, Any], str]) -> tuple[str, bool]:
    sets = [name for name in CHAPTER_SETS["tiny"]["B"] if name in run[0]["sets"]]
    grid = pd.DataFrame({beta: _scores(run, Adaptive(beta).name) for beta in BETAS}).loc[sets]
    shares = grid.div(grid.max(axis=1), axis=0).stack()
    name, beta = shares.idxmin()
    return f"at least {100 * shares.min():.1f} % (beta {beta:g} on `{name}`)", shares.min() >= CLOSE


def _order(run: tuple[dict[str, Any], str]) -> tuple[str, bool]:
    vanilla, qk, qq, kk = (float(_scores(run, rule, "").mean()) for rule in CLIP_RULES)
    proxy = float(_scores(run, DEFAULT).mean())
    chain = [vanilla, qk, min(qq, kk), proxy]
    return " < ".join(f"{value:.1f}" for value in chain) if chain == sorted(chain) else (
        ", ".join(f"{value:.1f}" for value in chain)), all(np.diff(chain) > 0)


def _context(run: tuple[dict[str, Any], str]) -> tuple[str, bool]:
    value = float(_scores(run, DEFAULT)["tiny/context"])
    return f"{value:.1f}", value >= CONTEXT


def _room(run: tuple[dict[str, Any], str]) -> tuple[str, bool]:
    perfect, identity = (float(_scores(run, rule, proxy).mean())
                         for rule, proxy in ((DEFAULT, "oracle"), (IDENTITY, None)))
    return f"{perfect:.1f} against {identity:.1f}", perfect - identity >= ROOM


def _precision(run: tuple[dict[str, Any], str]) -> tuple[str, bool]:
    found = run[0]["average_precision"]
    return ", ".join(f"{found[kind]:.1f} ({kind})" for kind in PRECISION), all(
        found[kind] >= least for kind, least in PRECISION.items())
