"""What the scores of the tiny world show: plateaus, masks, the order of the methods, controls, and marks set for them.

Functions of frames with the columns set, seed, proxy ("" where the rule reads CLIP alone), rule and miou (per cent).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from proxyclip.loading import PROFILES
from proxyclip.models.registry import VFMS
from proxyclip.rules import Adaptive, HardMask, Identity
from proxyclip.rules.parsing import parse_rule
from proxyclip.tiny import models

DEFAULT_VFM = PROFILES["tiny"].vfm
DEFAULT_RULE = Adaptive().name
CONTROLS = ("colours", "untrained")
IDENTITY = Identity().name


def scores_frame(scores: dict[str, Any]) -> pd.DataFrame:
    """The frame of ``scores.json``."""
    return pd.DataFrame(scores["miou"])


def families(names: list[str]) -> dict[str, str]:
    """Families of VFMs and the model that speaks for each: the first, with the patch size of the untrained control."""
    found: dict[str, str] = {}
    for name in models.MODELS:
        if name in names and name in VFMS:
            found.setdefault(VFMS[name].family, name)
    return found


def by_table_order(frame: pd.DataFrame, column: str, order: list[str]) -> pd.DataFrame:
    """Rows in the order of a list; what the list lacks is dropped."""
    return frame.sort_values(column, key=lambda names: names.map(order.index), kind="stable")


def plateau(frame: pd.DataFrame) -> pd.DataFrame:
    """How far the worst point of the grid of beta and gamma lies below its best.

    Returns
    -------
    DataFrame
        One row per proxy and set, means over seeds: proxy, set, best and worst (mIoU), gap (points), and beta and
        gamma of the worst and of the best point.
    """
    rows = []
    means = frame.groupby(["proxy", "set", "rule"], sort=False)["miou"].mean().reset_index()
    for (proxy, name), part in means.groupby(["proxy", "set"], sort=False):
        grid = part[[isinstance(parse_rule(rule), Adaptive) for rule in part["rule"]]]
        if grid.empty:
            continue
        low, high = grid.loc[grid["miou"].idxmin()], grid.loc[grid["miou"].idxmax()]
        at, top = parse_rule(low["rule"]), parse_rule(high["rule"])
        rows.append(
            {
                "proxy": proxy, "set": name, "best": high["miou"], "worst": low["miou"],
                "gap": high["miou"] - low["miou"], "beta": at.beta, "gamma": at.gamma,
                "best_beta": top.beta, "best_gamma": top.gamma,
            }
        )  # fmt: skip
    found = pd.DataFrame(rows)
    return by_table_order(found, "proxy", list(models.MODELS)).reset_index(drop=True)


def hard_masks(frame: pd.DataFrame, highest: float = 1.0) -> pd.DataFrame:
    """The adaptive default against the best hard mask of each VFM.

    Parameters
    ----------
    frame : DataFrame
    highest : float
        Masks with a higher alpha are left out.

    Returns
    -------
    DataFrame
        By proxy, averages over the sets: alpha (the best, of the mean over seeds), hard and adaptive (mIoU, means over
        seeds), difference (adaptive minus hard, points) and spread (its standard deviation over seeds).
    """
    rows = {}
    averages = frame.groupby(["proxy", "seed", "rule"], sort=False)["miou"].mean().unstack("rule")
    for proxy in (name for name in models.MODELS if name in averages.index.levels[0]):
        part = averages.loc[proxy]
        masks = {name: parse_rule(name) for name in part}
        hard = part[[name for name, rule in masks.items() if isinstance(rule, HardMask) and rule.alpha <= highest]]
        best = hard.mean().idxmax()
        difference = part[DEFAULT_RULE] - hard[best]
        rows[proxy] = {
            "alpha": parse_rule(best).alpha, "hard": hard[best].mean(), "adaptive": part[DEFAULT_RULE].mean(),
            "difference": difference.mean(), "spread": difference.std(),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def order(frame: pd.DataFrame) -> pd.DataFrame:
    """Vanilla CLIP, CLIP's own similarities and the proxy, set by set.

    Returns
    -------
    DataFrame
        By set and, last, "average" (over the sets): vanilla, qk, qq, kk, proxy (mIoU, means over seeds), and step: the
        smallest of the steps vanilla < qk, qk < lower of qq and kk, higher of these < proxy, in points (negative
        where the order is broken).
    """
    proxy = frame[(frame["proxy"] == DEFAULT_VFM) & (frame["rule"] == DEFAULT_RULE)].assign(rule="proxy")
    rows = pd.concat([frame[frame["proxy"] == ""], proxy])
    methods = ["vanilla", "qk", "qq", "kk", "proxy"]
    means = rows.groupby(["set", "rule"], sort=False)["miou"].mean().unstack("rule")[methods]
    means = means.loc[list(dict.fromkeys(frame["set"]))]
    means.loc["average"] = means.mean()
    own = means[["qq", "kk"]]
    steps = [means["qk"] - means["vanilla"], own.min(axis=1) - means["qk"], means["proxy"] - own.max(axis=1)]
    return means.assign(step=pd.concat(steps, axis=1).min(axis=1))


def controls(frame: pd.DataFrame) -> pd.DataFrame:
    """How far the trained VFMs are ahead of the best of the controls, at the defaults.

    The controls are raw colours, an untrained ViT, and ``identity`` on the VFM's own grid.

    Returns
    -------
    DataFrame
        Points of mIoU, means over seeds: a row per VFM, a column per set and, last, "average" (of the scores over the
        sets, so against the control that is best on average).
    """
    proxies = frame[frame["proxy"] != ""]
    means = _by_set(proxies[proxies["rule"] == DEFAULT_RULE], frame)
    alone = _by_set(proxies[proxies["rule"] == IDENTITY], frame)
    trained = [name for name in models.MODELS if name in means.index]
    best = {name: pd.concat([means.loc[list(CONTROLS)], alone.loc[[name]]]).max() for name in trained}
    return means.loc[trained] - pd.DataFrame(best).T


def identities(frame: pd.DataFrame) -> pd.DataFrame:
    """The adaptive default beside ``identity`` on the same grid.

    Returns
    -------
    DataFrame
        By VFM, averages over the sets: identity and adaptive (mIoU, means over seeds), gain (points) and spread (its
        standard deviation over seeds).
    """
    rows = {}
    averages = frame.groupby(["proxy", "seed", "rule"], sort=False)["miou"].mean().unstack("rule")
    for proxy in (name for name in models.MODELS if name in averages.index.levels[0]):
        part = averages.loc[proxy]
        gain = part[DEFAULT_RULE] - part[IDENTITY]
        rows[proxy] = {"identity": part[IDENTITY].mean(), "adaptive": part[DEFAULT_RULE].mean(), "gain": gain.mean(),
                       "spread": gain.std()}
    return pd.DataFrame.from_dict(rows, orient="index")


def shown_identity(frame: pd.DataFrame) -> pd.Series:
    """Rows of ``identity`` on the default VFM's grid, which speak for it in the tables."""
    return (frame["proxy"] == DEFAULT_VFM) & (frame["rule"] == IDENTITY)


def _by_set(rows: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, a row per proxy, a column per set in the order of the frame and their average."""
    means = rows.groupby(["proxy", "set"], sort=False)["miou"].mean().unstack("set")[list(dict.fromkeys(frame["set"]))]
    return means.assign(average=means.mean(axis=1))
