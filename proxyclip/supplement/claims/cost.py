"""Claims about structure and cost: A1 and section C.

Records of Table 1's quantities carry the table's row in ``method`` (``"CLIP"``, ``"MaskCLIP"``, ``"GEM"``,
``"ProxyCLIP (DINO-B/16)"``, ``"ProxyCLIP (DINO-B/8)"``); ``profile="architecture"`` marks counts on full-size models
without weights. Tiny models have rows of their own, ``"ProxyCLIP (tiny DINO/8)"`` and the like. Rows of ProxyCLIP are
those that name a patch size.
"""

import pandas as pd

from proxyclip.supplement.claims.claim import CLOSE, IDENTITY, Answer, Test, enumerated, is_published, scores
from proxyclip.supplement.display_names import patch_in
from proxyclip.supplement.paper import STABLE_DIFFUSION, TABLE_1, TABLE_1_COLUMNS

#: Counted parameters must round to Table 1's; multiply-accumulates depend on what a counter includes.
FLOPS_TOLERANCE = 0.02
#: The costs of Table 1 in words, and whether less of each is cheaper.
COSTS = {"params": ("parameters", True), "speed": ("images a second", False), "memory": ("memory", True),
         "flops": ("FLOPs", True)}


def _a1(frame: pd.DataFrame) -> Answer:
    rows = frame[frame["family"] == "Stable Diffusion"].groupby("metric", sort=False)["value"].first()
    if {"rows", "columns", "channels", "factor"} - set(rows.index):
        return None, "The shape was not computed."
    sides = all(rows[name] == STABLE_DIFFUSION[name][0] for name in ("rows", "columns", "channels"))
    factor = STABLE_DIFFUSION["input side"][0] / rows["rows"]
    return bool(sides and round(factor, 1) == STABLE_DIFFUSION["factor"][0] == round(rows["factor"], 1)), (
        f"{rows['rows']:g} x {rows['columns']:g} x {rows['channels']:g}; 336 / {rows['rows']:g} = {factor:.2f}.")


def _costs(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per method, a column per cost."""
    rows = frame[frame["metric"].isin(COSTS)]
    return rows.pivot_table(index="method", columns="metric", values="value", sort=False, aggfunc="mean")


def _patches(values: pd.DataFrame) -> dict[str, int]:
    """Rows of ProxyCLIP and their patch sizes, the smallest first."""
    found = {name: patch for name in values.index if (patch := patch_in(name)) is not None}
    return dict(sorted(found.items(), key=lambda row: row[1]))


def _c1(frame: pd.DataFrame) -> Answer:
    large = frame[frame["profile"] != "tiny"]  # costs of tiny and full-size models do not mix
    values = _costs(frame if large.empty else large)
    proxies = list(_patches(values))
    alone = values.index.difference(proxies, sort=False)
    if not proxies or alone.empty:
        return None, "The run lacks ProxyCLIP or the methods that use CLIP alone."
    proxy = values.loc[proxies[0]]
    outcomes, parts = [], []
    for metric, (words, lower) in COSTS.items():
        rest = values.loc[alone, metric].dropna() if metric in values else pd.Series(dtype=float)
        if rest.empty or pd.isna(proxy.get(metric)):
            continue
        costliest = rest.max() if lower else rest.min()
        outcomes.append(proxy[metric] > costliest if lower else proxy[metric] < costliest)
        parts.append(f"{words} {proxy[metric]:.4g} against {costliest:.4g}")
    size = "" if (frame["profile"] != "architecture").all() else "Full-size models without weights: "
    return all(outcomes), (
        f"{size}{proxies[0]} against the most expensive method that uses CLIP alone: {enumerated(parts)}.")


def _c2(frame: pd.DataFrame) -> Answer:
    frame = frame[frame["profile"] != "architecture"]  # the cost of the models whose mIoU is measured
    values = _costs(frame)
    patches = _patches(values)
    if len(set(patches.values())) < 2 or "flops" not in values:
        return None, "The run lacks ProxyCLIP at two patch sizes."
    fine, *_, coarse = patches
    cost = ", ".join(f"{values.loc[name, 'flops']:.4g} G at patch {patches[name]}" for name in (fine, coarse))
    accuracy = _accuracy(frame)
    if not {fine, coarse} <= set(accuracy.index):
        return None, f"{cost}; no mIoU of the two is given beside it."
    cheaper = values.loc[coarse, "flops"] < values.loc[fine, "flops"]
    return bool(cheaper and accuracy[coarse] >= CLOSE * accuracy[fine]), (
        f"{cost}; mIoU {accuracy[fine]:.1f} and {accuracy[coarse]:.1f}.")


def _accuracy(frame: pd.DataFrame) -> pd.Series:
    """mIoU of the default rule by method, mean over the sets."""
    rows = scores(frame)
    return rows[rows["rule"] != IDENTITY].groupby("method", sort=False)["value"].mean()


def _c4(frame: pd.DataFrame) -> Answer:
    frame = frame[frame["profile"] != "architecture"]
    families = dict(zip(frame["method"], frame["family"], strict=True))
    values, accuracy = _costs(frame), _accuracy(frame)
    groups: dict[tuple[str, int], list[str]] = {}
    for name, patch in _patches(values).items() if "flops" in values else ():
        if name in accuracy.index:
            groups.setdefault((families[name], patch), []).append(name)
    pairs = {key: sorted(names, key=lambda name: values.loc[name, "flops"])
             for key, names in groups.items() if len(names) > 1}
    if not pairs:
        lacking = "Table 1 gives no mIoU" if is_published(frame) else "The run lacks two sizes"
        return None, f"{lacking} of one family with the same patch size."
    parts = [f"{values.loc[small, 'flops']:.4g} against {values.loc[large, 'flops']:.4g} G and mIoU "
             f"{accuracy[small]:.1f} against {accuracy[large]:.1f} ({small}, {large})"
             for small, *_, large in pairs.values()]
    return all(accuracy[small] >= CLOSE * accuracy[large] for small, *_, large in pairs.values()), (
        f"The smaller against the larger model: {enumerated(parts)}.")


def _c3(frame: pd.DataFrame) -> Answer:
    if is_published(frame):
        return None, "The table is what counts are compared with."
    counted = _costs(frame[frame["profile"].isin(["architecture", "paper"])])
    printed = pd.DataFrame.from_dict(TABLE_1, orient="index", columns=[name for name, _ in TABLE_1_COLUMNS])
    rows = printed.index.intersection(counted.index, sort=False)
    counted, printed = counted.loc[rows], printed.loc[rows]
    if counted.empty or not {"params", "flops"} <= set(counted.columns):
        return None, "Parameters and FLOPs of the full-size models were not counted."
    params = (counted["params"].round(1) - printed["params"]).abs()
    flops = (counted["flops"] / printed["flops"] - 1).abs()
    return bool((params < 0.05).all() and (flops <= FLOPS_TOLERANCE).all()), (
        f"Over {len(counted)} rows parameters differ by at most {params.max():.1f} M, FLOPs by at most "
        f"{100 * flops.max():.1f} % ({flops.idxmax()}).")


COST_TESTS: dict[str, Test] = {"A1": _a1, "C1": _c1, "C2": _c2, "C3": _c3, "C4": _c4}
