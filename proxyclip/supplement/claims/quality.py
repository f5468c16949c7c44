"""Claims about what the rule does and needs: sections A (A2), B and D."""

from collections.abc import Mapping
from functools import partial

import pandas as pd

from proxyclip.supplement.claims.claim import (
    CLIP_KINDS,
    CLOSE,
    DEFAULT,
    Answer,
    Test,
    Value,
    averages,
    enumerated,
    is_published,
    scores,
)
from proxyclip.supplement.paper import BETA_RANGE, DEFAULT_BETA, DEFAULT_GAMMA, GAMMA_RANGE, TABLE_2_ALPHAS


def _ahead(frame: pd.DataFrame, others: Mapping[str, str]) -> Answer:
    """Whether the proxy exceeds other rules, each given with the words that follow its score."""
    found = averages(frame, [DEFAULT, *others])
    proxy = found.pop(DEFAULT, None)
    if proxy is None or len(found) < len(others):
        return None, "Section A of the supplement states no mIoU." if is_published(frame) else "No mIoU was measured."
    figures = enumerated(f"{value} {others[rule]}" for rule, value in found.items())
    return all(map(proxy.exceeds, found.values())), (
        f"Average mIoU {proxy} with the diffusion model's features, {figures}.")


def _sweep(frame: pd.DataFrame, swept: str, fixed: str, value: float, bounds: tuple[float, float]) -> Answer:
    """Whether every point inside the bounds is close to the best of the whole sweep, on every set."""
    rows = scores(frame)
    rows = rows[(rows[fixed] == value) & rows[swept].notna() & (rows["method"] == "ProxyCLIP")]
    inside = rows[rows[swept].between(*bounds)]
    if inside[swept].nunique() < 2:
        return None, _no_sweep(frame, f"fewer than two values of {swept} between {bounds[0]:g} and {bounds[1]:g}")
    best = rows.groupby(["dataset", "vfm"])["value"].max()
    shares = inside["value"].to_numpy() / best.loc[list(zip(inside["dataset"], inside["vfm"], strict=True))].to_numpy()
    worst = inside.iloc[int(shares.argmin())]
    return bool(shares.min() >= CLOSE), (
        f"Inside the range every point reaches at least {_share(shares.min())} of the sweep's best; the lowest is "
        f"{swept} {worst[swept]:g} on {worst['dataset']} with mIoU {Value(worst['value'], worst['error'])}."
    )


def _b3(frame: pd.DataFrame) -> Answer:
    rows = scores(frame)
    rows = rows[rows["beta"].notna() & (rows["method"] == "ProxyCLIP")]
    default = rows[rows["rule"] == DEFAULT].set_index(["dataset", "vfm"])["value"]
    if default.empty or rows["beta"].nunique() < 2 or rows["gamma"].nunique() < 2:
        return None, _no_sweep(frame, "no grid that contains the default")
    shares = default / rows.groupby(["dataset", "vfm"])["value"].max().loc[default.index]
    listed = enumerated(f"{_share(share)} on {name}" for (name, _), share in shares.items())
    return bool((shares >= CLOSE).all()), f"The default reaches {listed} of the best of the grid."


def _no_sweep(frame: pd.DataFrame, reason: str) -> str:
    if is_published(frame):
        return "The supplement shows curves (Fig. 1) without values."
    return f"The run has {reason}."


def _by_alpha(frame: pd.DataFrame, highest: float, column: str = "value") -> pd.DataFrame:
    """mIoU averaged over sets: a row per VFM, a column per alpha of a grid that ends at ``highest``."""
    rows = scores(frame)
    rows = rows[(rows["alpha"] <= highest) & (rows["method"] == "hard mask")]
    return rows.pivot_table(index="vfm", columns="alpha", values=column, aggfunc="mean", sort=False).sort_index(axis=1)


def _d1(frame: pd.DataFrame, highest: float = TABLE_2_ALPHAS[-1]) -> Answer:
    values = _by_alpha(frame, highest)
    if len(values) < 2 or values.shape[1] < 2 or not values.max(axis=1).all():
        return None, "The run has fewer than two VFMs, fewer than two values of alpha, or only scores of zero."
    errors = _by_alpha(frame, highest, "error")
    best = values.idxmax(axis=1)
    shares = values.div(values.max(axis=1), axis=0)
    shared = shares.min(axis=0).idxmax()  # the alpha that serves the worst served VFM best
    worst = shares[shared].idxmin()
    own, there = (Value(values.loc[worst, alpha], errors.loc[worst, alpha]) for alpha in (best[worst], shared))
    listed = enumerated(f"{alpha:g} ({vfm})" for vfm, alpha in best.items())
    return bool(best.nunique() > 1 and shares.loc[worst, shared] < CLOSE and own.exceeds(there)), (
        f"The best alpha is {listed}; the best single one, {shared:g}, leaves {worst} at "
        f"{_share(shares.loc[worst, shared])} of its own best ({there} against {own}).")


def _d2(frame: pd.DataFrame, highest: float = TABLE_2_ALPHAS[-1]) -> Answer:
    values = _by_alpha(frame, highest)
    rows = scores(frame)
    adaptive = rows[rows["rule"] == DEFAULT].groupby("vfm", sort=False)["value"].mean()
    if values.empty or set(values.index) - set(adaptive.index) or not values.max(axis=1).all():
        return None, "For some VFM the run lacks the adaptive rule or values of alpha with a score above zero."
    shares = adaptive.loc[values.index] / values.max(axis=1)
    listed = enumerated(f"{adaptive[vfm]:.1f} against {values.loc[vfm].max():.1f} ({vfm})" for vfm in values.index)
    return bool((shares >= CLOSE).all()), f"Adaptive against the best alpha: {listed}; at least {_share(shares.min())}."


def _beyond(test: partial[Answer], frame: pd.DataFrame) -> Answer:
    """A test of the longer grid, where the run has one."""
    if not (frame["alpha"] > TABLE_2_ALPHAS[-1]).any():
        return None, f"No alpha above {TABLE_2_ALPHAS[-1]:g} was measured."
    return test(frame)


def _d3(frame: pd.DataFrame) -> Answer:
    medians = scores(frame, "median_cosine").groupby("vfm", sort=False)["value"].mean()
    if len(medians) < 2:
        return None, "No medians are stated." if is_published(frame) else "Fewer than two VFMs have a median."
    step = TABLE_2_ALPHAS[1] - TABLE_2_ALPHAS[0]
    listed = enumerated(f"{value:.2f} ({vfm})" for vfm, value in medians.items())
    return bool(medians.max() - medians.min() >= step), f"Median cosine {listed}."


def _share(value: float) -> str:
    """A share in per cent, never rounded up past the margin it is compared with."""
    return f"{int(value * 1000) / 10:g} %"


QUALITY_TESTS: dict[str, Test] = {
    "A2": partial(_ahead, others={"vanilla": "as trained"}),
    "A3": partial(_ahead, others={kind: f"with {name}" for kind, name in CLIP_KINDS.items()}),
    "B1": partial(_sweep, swept="beta", fixed="gamma", value=DEFAULT_GAMMA, bounds=BETA_RANGE),
    "B2": partial(_sweep, swept="gamma", fixed="beta", value=DEFAULT_BETA, bounds=GAMMA_RANGE),
    "B3": _b3, "D1": _d1, "D2": _d2, "D3": _d3,
    "D1+": partial(_beyond, partial(_d1, highest=1.0)),
    "D2+": partial(_beyond, partial(_d2, highest=1.0)),
}
