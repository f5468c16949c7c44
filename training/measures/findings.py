"""What the scores of the tiny world show: plateaus, hard masks, the order of the methods, controls.

The functions take frames with the columns set, seed, proxy ("" where the rule reads CLIP alone), rule and miou (per
cent).
"""

from typing import Any

import pandas as pd

from proxyclip.loading import PROFILES
from proxyclip.rules import Adaptive, HardMask, Identity
from proxyclip.rules.parsing import parse_rule
from proxyclip.tiny import models

DEFAULT_VFM = PROFILES["tiny"].vfm
DEFAULT_RULE = Adaptive().name
CONTROLS = ("colours", "untrained")
IDENTITY = Identity().name


def by_method(frame: pd.DataFrame) -> Any:
    """mIoU by method and set at the defaults; identity is that on the default VFM's grid."""
    default, identity = frame["rule"] == DEFAULT_RULE, frame["rule"] == IDENTITY
    frame = frame[(frame["proxy"] == "") | default | identity & (frame["proxy"] == DEFAULT_VFM)]
    names = ("`" + frame["rule"] + "`").where(frame["rule"] != DEFAULT_RULE, "proxy `" + frame["proxy"] + "`")
    return frame.groupby([names.rename("method"), "set"], sort=False)["miou"]


def _averages(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """mIoU of each trained VFM, averages over the sets: a row for each seed, a column for each rule."""
    averages = frame.groupby(["proxy", "seed", "rule"], sort=False)["miou"].mean().unstack("rule")
    return {name: averages.loc[name] for name in models.MODELS if name in averages.index.levels[0]}


def plateau(frame: pd.DataFrame) -> pd.DataFrame:
    """How far the worst point of the grid of beta and gamma lies below its best.

    A row per proxy and set, means over seeds. Best and worst are mIoU, gap is in points; beta and gamma are those of
    the worst point, best_beta and best_gamma of the best.
    """
    rules = {name: rule for name in frame["rule"].unique() if isinstance(rule := parse_rule(name), Adaptive)}
    means = frame[frame["rule"].isin(rules)].groupby(["proxy", "set", "rule"], sort=False)["miou"].mean()
    rows = []
    for (proxy, name), grid in means.unstack("rule").iterrows():
        worst, best = rules[grid.idxmin()], rules[grid.idxmax()]
        rows.append({"proxy": proxy, "set": name, "best": grid.max(), "worst": grid.min(),
                     "gap": grid.max() - grid.min(), "beta": worst.beta, "gamma": worst.gamma,
                     "best_beta": best.beta, "best_gamma": best.gamma})
    return pd.DataFrame(rows).sort_values("proxy", key=lambda names: names.map(list(models.MODELS).index),
                                          kind="stable", ignore_index=True)


def hard_masks(frame: pd.DataFrame, highest: float = 1.0) -> pd.DataFrame:
    """The adaptive default against the best hard mask of each VFM, among the alphas up to ``highest``.

    A row per proxy, averages over the sets: alpha (the best of the mean over seeds), hard and adaptive (mIoU, means
    over seeds), difference (adaptive minus hard, points) and spread (its standard deviation over seeds).
    """
    rules = {name: parse_rule(name) for name in frame["rule"].unique()}
    alphas = {name: rule.alpha for name, rule in rules.items() if isinstance(rule, HardMask) and rule.alpha <= highest}
    rows = {}
    for proxy, part in _averages(frame).items():
        best = part[list(alphas)].mean().idxmax()
        difference = part[DEFAULT_RULE] - part[best]
        rows[proxy] = {"alpha": alphas[best], "hard": part[best].mean(), "adaptive": part[DEFAULT_RULE].mean(),
                       "difference": difference.mean(), "spread": difference.std()}
    return pd.DataFrame.from_dict(rows, orient="index")


def order(frame: pd.DataFrame) -> pd.DataFrame:
    """Vanilla CLIP, CLIP's own similarities and the proxy: a row per set and, last, "average", in mIoU.

    ``step`` is the smallest of the steps vanilla < qk, qk < lower of qq and kk, higher of these < proxy, in points; it
    is negative where the order is broken.
    """
    proxy = frame[(frame["proxy"] == DEFAULT_VFM) & (frame["rule"] == DEFAULT_RULE)].assign(rule="proxy")
    rows = pd.concat([frame[frame["proxy"] == ""], proxy])
    methods = ["vanilla", "qk", "qq", "kk", "proxy"]
    means = rows.groupby(["set", "rule"], sort=False)["miou"].mean().unstack("rule")[methods]
    means = means.loc[list(frame["set"].unique())]
    means.loc["average"] = means.mean()
    own = means[["qq", "kk"]]
    steps = [means["qk"] - means["vanilla"], own.min(axis=1) - means["qk"], means["proxy"] - own.max(axis=1)]
    return means.assign(step=pd.concat(steps, axis=1).min(axis=1))


def controls(frame: pd.DataFrame) -> pd.DataFrame:
    """How far the trained VFMs are ahead of the best of the controls, in points of mIoU.

    A row per VFM, a column per set. The controls are raw colours, an untrained ViT, and ``identity`` on the VFM's own
    grid. The last column, "average", is of the scores over the sets, so against the control that is best on average.
    """
    means, alone = _by_set(frame, DEFAULT_RULE), _by_set(frame, IDENTITY)
    trained = [name for name in models.MODELS if name in means.index]
    best = {name: pd.concat([means.loc[list(CONTROLS)], alone.loc[[name]]]).max() for name in trained}
    return means.loc[trained] - pd.DataFrame(best).T


def identities(frame: pd.DataFrame) -> pd.DataFrame:
    """The adaptive default beside ``identity`` on the same grid: a row per VFM, averages over the sets.

    Identity and adaptive are mIoU, gain is in points and spread its standard deviation over the seeds.
    """
    rows = {}
    for proxy, part in _averages(frame).items():
        gain = part[DEFAULT_RULE] - part[IDENTITY]
        rows[proxy] = {"identity": part[IDENTITY].mean(), "adaptive": part[DEFAULT_RULE].mean(), "gain": gain.mean(),
                       "spread": gain.std()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _by_set(frame: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Means over seeds under one rule: a row per proxy, a column per set in the frame's order, and their average."""
    rows = frame[(frame["proxy"] != "") & (frame["rule"] == rule)]
    means = rows.groupby(["proxy", "set"], sort=False)["miou"].mean().unstack("set")[list(frame["set"].unique())]
    return means.assign(average=means.mean(axis=1))
