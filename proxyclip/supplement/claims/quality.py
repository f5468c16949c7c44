"""Claims about segmentation quality: sections A (A2, A3), B, D, E, F and G."""

from __future__ import annotations

import pandas as pd

from proxyclip.rules import Adaptive
from proxyclip.supplement.claims.claim import CLOSE, Answer, Claim, average, enumerated, per_set, scores
from proxyclip.supplement.paper import (
    BETA_RANGE,
    DEFAULT_BETA,
    DEFAULT_GAMMA,
    FREE,
    FULL,
    GAMMA_RANGE,
    TABLE_2_ALPHAS,
    WEAK,
)

DEFAULT = Adaptive(DEFAULT_BETA, DEFAULT_GAMMA).name
CLIP_KINDS = {"qk": "q-k", "qq": "q-q", "kk": "k-k"}
PERCENT = f"{CLOSE:.0%}".replace("%", " %")


# ----------------------------------------------------------------------------------------------------------- section A


def _diffusion(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["family"] == "Stable Diffusion") | (frame["vfm"] == "")]


def _a2(frame: pd.DataFrame) -> Answer:
    proxy, vanilla = (average(_diffusion(frame), rule) for rule in (DEFAULT, "vanilla"))
    if proxy is None or vanilla is None:
        return None, "Section A of the supplement states no mIoU." if _published(frame) else "No mIoU was measured."
    return proxy > vanilla, f"Average mIoU {proxy:.1f} with Stable Diffusion's features, {vanilla:.1f} as trained."


def _a3(frame: pd.DataFrame) -> Answer:
    proxy = average(_diffusion(frame), DEFAULT)
    others = {name: value for kind, name in CLIP_KINDS.items() if (value := average(frame, kind)) is not None}
    if proxy is None or len(others) < len(CLIP_KINDS):
        return None, "Section A of the supplement states no mIoU." if _published(frame) else "No mIoU was measured."
    figures = enumerated(f"{value:.1f} with {name}" for name, value in others.items())
    return proxy > max(others.values()), f"Average mIoU {proxy:.1f} with Stable Diffusion's features, {figures}."


# ----------------------------------------------------------------------------------------------------------- section B


def _sweep(frame: pd.DataFrame, swept: str, fixed: str, value: float, bounds: tuple[float, float]) -> Answer:
    """Whether every point inside the bounds is close to the best of the whole sweep, on every set."""
    rows = scores(frame)
    rows = rows[(rows[fixed] == value) & rows[swept].notna() & rows["rule"].str.startswith("adaptive")]
    inside = rows[rows[swept].between(*bounds)]
    if inside[swept].nunique() < 2:
        return None, _no_sweep(frame, f"fewer than two values of {swept} between {bounds[0]:g} and {bounds[1]:g}")
    best = rows.groupby(["dataset", "vfm"])["value"].max()
    shares = inside["value"].to_numpy() / best.loc[list(zip(inside["dataset"], inside["vfm"], strict=True))].to_numpy()
    worst = inside.iloc[int(shares.argmin())]
    return bool(shares.min() >= CLOSE), (
        f"Inside the range every point reaches at least {_share(shares.min())} of the sweep's best; the lowest is "
        f"{swept} {worst[swept]:g} on {worst['dataset']} with mIoU {worst['value']:.1f}."
    )


def _b1(frame: pd.DataFrame) -> Answer:
    return _sweep(frame, "beta", "gamma", DEFAULT_GAMMA, BETA_RANGE)


def _b2(frame: pd.DataFrame) -> Answer:
    return _sweep(frame, "gamma", "beta", DEFAULT_BETA, GAMMA_RANGE)


def _b3(frame: pd.DataFrame) -> Answer:
    rows = scores(frame)
    rows = rows[rows["beta"].notna() & rows["rule"].str.startswith("adaptive")]
    default = rows[rows["rule"] == DEFAULT].set_index(["dataset", "vfm"])["value"]
    if default.empty or rows["beta"].nunique() < 2 or rows["gamma"].nunique() < 2:
        return None, _no_sweep(frame, "no grid that contains the default")
    shares = default / rows.groupby(["dataset", "vfm"])["value"].max().loc[default.index]
    listed = enumerated(f"{_share(share)} on {name}" for (name, _), share in shares.items())
    return bool((shares >= CLOSE).all()), f"The default reaches {listed} of the best of the grid."


def _no_sweep(frame: pd.DataFrame, reason: str) -> str:
    if _published(frame):
        return "The supplement shows curves (Fig. 1) without values."
    return f"The run has {reason}."


# ----------------------------------------------------------------------------------------------------------- section D


def _by_alpha(frame: pd.DataFrame) -> pd.DataFrame:
    """mIoU averaged over sets: a row per VFM, a column per alpha."""
    rows = scores(frame)
    rows = rows[rows["alpha"].notna() & rows["rule"].str.startswith("hard")]
    return rows.pivot_table(index="vfm", columns="alpha", values="value", aggfunc="mean", sort=False)


def _d1(frame: pd.DataFrame) -> Answer:
    values = _by_alpha(frame)
    if len(values) < 2 or values.shape[1] < 2:
        return None, "The run has fewer than two VFMs or two values of alpha."
    best = values.idxmax(axis=1)
    shares = values.div(values.max(axis=1), axis=0).min(axis=0)
    listed = enumerated(f"{alpha:g} ({vfm})" for vfm, alpha in best.items())
    return bool(best.nunique() > 1 and shares.max() < CLOSE), (
        f"The best alpha is {listed}; the best single one, {shares.idxmax():g}, leaves one VFM at "
        f"{_share(shares.max())} of its own best."
    )


def _d2(frame: pd.DataFrame) -> Answer:
    values = _by_alpha(frame)
    rows = scores(frame)
    adaptive = rows[rows["rule"] == DEFAULT].groupby("vfm", sort=False)["value"].mean()
    if values.empty or adaptive.empty or set(values.index) - set(adaptive.index):
        return None, "The run lacks the adaptive rule or the values of alpha for some VFM."
    shares = adaptive.loc[values.index] / values.max(axis=1)
    listed = enumerated(f"{adaptive[vfm]:.1f} against {values.loc[vfm].max():.1f} ({vfm})" for vfm in values.index)
    return bool((shares >= CLOSE).all()), f"Adaptive against the best alpha: {listed}; at least {_share(shares.min())}."


def _d3(frame: pd.DataFrame) -> Answer:
    medians = scores(frame, "median_cosine").groupby("vfm", sort=False)["value"].mean()
    if len(medians) < 2:
        return None, "No medians are stated." if _published(frame) else "Fewer than two VFMs have a median."
    step = TABLE_2_ALPHAS[1] - TABLE_2_ALPHAS[0]
    listed = enumerated(f"{value:.2f} ({vfm})" for vfm, value in medians.items())
    return bool(medians.max() - medians.min() >= step), f"Median cosine {listed}."


# ----------------------------------------------------------------------------------------------------------- section E


def _averages(frame: pd.DataFrame, *rules: str) -> dict[str, float | None]:
    return {rule: average(frame, rule) for rule in rules}


def _e1(frame: pd.DataFrame) -> Answer:
    values = _averages(frame, "vanilla", "qk")
    if None in values.values():
        return None, "The run lacks CLIP as trained or q-k."
    return values["qk"] * CLOSE > values["vanilla"], (
        f"Average mIoU {values['vanilla']:.1f} as trained, {values['qk']:.1f} with q-k inside the module.")


def _e2(frame: pd.DataFrame) -> Answer:
    values = _averages(frame, *CLIP_KINDS)
    if None in values.values():
        return None, "The run lacks one of q-k, q-q and k-k."
    listed = enumerated(f"{value:.1f} with {CLIP_KINDS[kind]}" for kind, value in values.items())
    return min(values["qq"], values["kk"]) * CLOSE > values["qk"], f"Average mIoU {listed}."


def _e3(frame: pd.DataFrame) -> Answer:
    proxy = per_set(frame, DEFAULT)
    others = pd.DataFrame({name: per_set(frame, kind) for kind, name in CLIP_KINDS.items()})
    if proxy.empty or others.isna().any(axis=None) or set(proxy.index) - set(others.index):
        return None, "The run lacks one of proxy, q-k, q-q and k-k on some set."
    margins = proxy - others.max(axis=1).loc[proxy.index]
    nearest = margins.idxmin()
    return bool((margins > 0).all()), (
        f"Proxy is ahead on {(margins > 0).sum()} of {len(margins)} sets; the smallest margin over the best of the "
        f"three is {margins[nearest]:+.1f} mIoU ({nearest})."
    )


# ----------------------------------------------------------------------------------------------------------- section F


def _large(frame: pd.DataFrame) -> pd.DataFrame:
    """mIoU with a row per method and its supervision, a column per set, and their average."""
    rows = scores(frame)
    rows = rows[(rows["dataset"] != "average") & rows["setting"].isin([FULL, WEAK, FREE])]
    values = rows.pivot_table(index=["setting", "method"], columns="dataset", values="value", sort=False)
    return values.assign(average=values.mean(axis=1))


def _f1(frame: pd.DataFrame) -> Answer:
    values = _large(frame)
    if (FREE, "ProxyCLIP") not in values.index or len(values) < 2:
        return None, "The run lacks ProxyCLIP or anything to compare it with."
    proxy = values.loc[(FREE, "ProxyCLIP")]
    rest = values.drop([FULL], level="setting", errors="ignore").drop((FREE, "ProxyCLIP"))
    best = rest["average"].idxmax()
    compared = enumerated(name for _, name in rest.index)
    return bool((rest < proxy).all(axis=None)), (
        f"Average mIoU {proxy['average']:.1f} against {rest.loc[best, 'average']:.1f} of the next best, {best[1]} "
        f"(compared with {compared}).")


def _supervised(frame: pd.DataFrame, column: str) -> tuple[float, pd.Series] | None:
    values = _large(frame)
    if (FREE, "ProxyCLIP") not in values.index or FULL not in values.index.get_level_values("setting"):
        return None
    if column not in values:
        return None
    return float(values.loc[(FREE, "ProxyCLIP"), column]), values.loc[FULL, column]


NO_SUPERVISED = "The run has no fully-supervised method to compare with."


def _f2(frame: pd.DataFrame) -> Answer:
    if (found := _supervised(frame, "ade847")) is None:
        return None, NO_SUPERVISED
    proxy, rest = found
    return bool((rest < proxy).mean() > 0.5), (
        f"On ADE847 {proxy:.1f} mIoU exceeds {(rest < proxy).sum()} of {len(rest)} fully-supervised methods.")


def _f3(frame: pd.DataFrame) -> Answer:
    if (found := _supervised(frame, "average")) is None:
        return None, NO_SUPERVISED
    proxy, rest = found
    return bool(proxy >= CLOSE * rest.median()), (
        f"Average mIoU {proxy:.1f}; the median of {len(rest)} fully-supervised methods is {rest.median():.1f}.")


def _f4(frame: pd.DataFrame) -> Answer:
    if (found := _supervised(frame, "average")) is None:
        return None, NO_SUPERVISED
    others = _large(frame).drop([FULL], level="setting")["average"]
    above = (found[1] > others.max()).sum()
    return bool(above > len(found[1]) / 2), (
        f"{above} of {len(found[1])} fully-supervised methods exceed the best of the others, {others.idxmax()[1]} with "
        f"{others.max():.1f} on average.")


# ----------------------------------------------------------------------------------------------------------- section G


def _ahead(frame: pd.DataFrame, metric: str, what: str) -> Answer:
    """Whether the default rule has the highest value of a metric on every set."""
    rows = scores(frame, metric)
    values = rows.pivot_table(index="dataset", columns="rule", values="value", sort=False)
    if DEFAULT not in values or values.shape[1] < 2:
        return None, f"The supplement states no {what}." if _published(frame) else f"No {what} was measured."
    rest = values.drop(columns=DEFAULT).max(axis=1)
    margins = values[DEFAULT] - rest
    listed = enumerated(f"{values.loc[name, DEFAULT]:.1f} against {rest[name]:.1f} on {name}" for name in margins.index)
    return bool((margins > 0).all()), f"{what[0].upper()}{what[1:]} of ProxyCLIP and of the next best: {listed}."


def _g1(frame: pd.DataFrame) -> Answer:
    return _ahead(frame, "boundary_iou", "boundary IoU")


def _g2(frame: pd.DataFrame) -> Answer:
    return _ahead(frame, "small_recall", "recall of small objects")


# -------------------------------------------------------------------------------------------------------------- shared


def _published(frame: pd.DataFrame) -> bool:
    return bool((frame["profile"] == "published").all())


def _share(value: float) -> str:
    """A share in per cent, never rounded up past the margin it is compared with."""
    return f"{int(value * 1000) / 10:g} %"


QUALITY_CLAIMS: tuple[Claim, ...] = (
    Claim("A2", "A", "Stable Diffusion's features can serve as the proxy.",
          "Average mIoU over the sets is higher than that of CLIP as trained.", _a2),
    Claim("A3", "A", "What section E says of proxy attention extends to Stable Diffusion: it beats CLIP's embeddings.",
          "Average mIoU over the sets is higher than with q-k, q-q and k-k inside the module.", _a3),
    Claim("B1", "B", "Results are good for every beta between 1.0 and 1.6.",
          f"At gamma 3, on every set, each beta in the range reaches {PERCENT} of the best mIoU of the sweep.", _b1),
    Claim("B2", "B", "Results are good for every gamma between 2.0 and 5.0.",
          f"At beta 1.2, on every set, each gamma in the range reaches {PERCENT} of the best mIoU of the sweep.", _b2),
    Claim("B3", "B", "One default, beta 1.2 and gamma 3.0, serves all sets.",
          f"On every set the default reaches {PERCENT} of the best mIoU of the whole grid.", _b3),
    Claim("D1", "D", "Different VFMs want different thresholds.",
          "The best alpha is not the same for all VFMs, and no single alpha reaches "
          f"{PERCENT} of the best for every VFM.", _d1),
    Claim("D2", "D", "The adaptive rule does well for every VFM without a threshold of its own.",
          f"For every VFM it reaches {PERCENT} of the mIoU of the best alpha, or more.", _d2),
    Claim("D3", "D", "The median similarity varies between VFMs, which is why no threshold fits all.",
          "The medians differ by at least 0.2, one step of Table 2's alpha.", _d3),
    Claim("E1", "E", "CLIP's own query-key similarity, inside the module, lifts CLIP as trained.",
          f"Average mIoU as trained is below {PERCENT} of that with q-k.", _e1),
    Claim("E2", "E", "Query-query and key-key lift it further.",
          f"Average mIoU with q-k is below {PERCENT} of that with q-q and of that with k-k.", _e2),
    Claim("E3", "E", "Proxy attention is better than all three.", "Its mIoU is the highest on every set.", _e3),
    Claim("F1", "F", "On large vocabularies ProxyCLIP is ahead of all weakly-supervised and training-free methods.",
          "Its mIoU is the highest of Table 4's weakly-supervised and training-free methods on every set.", _f1),
    Claim("F2", "F", "On ADE847 it is ahead of most fully-supervised methods.",
          "Its mIoU exceeds that of more than half of them.", _f2),
    Claim("F3", "F", "It performs on a par with fully-supervised methods.",
          f"Its average mIoU reaches {PERCENT} of their median.", _f3),
    Claim("F4", "F", "Fully-supervised methods are usually better than the others.",
          "More than half of them exceed, on average, the best method without full supervision.", _f4),
    Claim("G1", "G", "Segmentation maps have clearer boundaries.",
          "The boundary IoU is the highest of the compared rules on every set.", _g1),
    Claim("G2", "G", "Small objects are found too.",
          "The recall of small objects is the highest of the compared rules on every set.", _g2),
)
