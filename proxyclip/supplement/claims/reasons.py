"""Why a claim does not hold, as far as the records measure it: one sentence each, with its figures.

A reason compares measured quantities of the mechanism that the claim is about: what the mask keeps, what is scored
without any proxy (the rule ``identity``), where the attention goes, what is answered instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from proxyclip.rules import Adaptive
from proxyclip.supplement.claims.claim import (
    CLIP_KINDS,
    CLOSE,
    DEFAULT,
    IDENTITY,
    average,
    enumerated,
    mean_over_sets,
    per_set,
    scores,
    with_figures,
)
from proxyclip.supplement.display_names import method_of

#: Groups of the classes of a large generated vocabulary, as section F's records name them.
NOVELTY = ("textures", "combinations that were captioned", "combinations that never were")


def of_the_mask(frame: pd.DataFrame) -> str:
    """What the default mask keeps, what averaging by it gains, and what averaging by CLIP's own similarities does."""
    kept, alone = (mean_over_sets(frame, metric, DEFAULT) for metric in ("kept", "rows_alone"))
    if kept is None or alone is None:
        return ""
    sentence = f"The default mask keeps {kept:.0f} % of the similarities and leaves {alone:.0f} % of the patches alone"
    proxy, identity = average(frame, DEFAULT), average(frame, IDENTITY)
    if proxy is None or identity is None:
        return f"{sentence}."
    gains = {"with this mask": proxy.value - identity.value}
    for kind, name in CLIP_KINDS.items():
        if (own := average(frame, kind)) is not None and own.exceeds(identity):
            gains[f"with {name}"] = own.value - identity.value
    listed = enumerated(f"{gain:+.1f} {name}" for name, gain in gains.items())
    return f"{sentence}. Compared with each patch's own value ({identity}), averaging changes the mIoU by {listed}."


def of_the_sweep(frame: pd.DataFrame) -> str:
    """What the mask keeps at the lowest and at the highest swept threshold."""
    kept, alone = (scores(frame, metric).groupby("beta")["value"].mean() for metric in ("kept", "rows_alone"))
    if kept.empty:
        return ""
    parts = (f"{kept[beta]:.0f} % at beta {beta:g} ({alone[beta]:.0f} % of the patches alone)"
             for beta in (kept.index.min(), kept.index.max()))
    return f"Of the similarities the mask keeps {' and '.join(parts)}, on the mean of the sets."


def of_the_sharpness(frame: pd.DataFrame) -> str:
    """At which gamma each set scores best: the mask keeps the same entries at all of them."""
    rows = scores(frame)
    rows = rows[(rows["beta"] == Adaptive().beta) & (rows["method"] == "ProxyCLIP")]
    along = rows.pivot_table(index="dataset", columns="gamma", values="value", sort=False).sort_index(axis=1)
    if along.shape[1] < 2:
        return ""
    best = along.idxmax(axis=1)
    listed = enumerated(f"{gamma:g} on {enumerated(best.index[best == gamma])}" for gamma in sorted(best.unique()))
    first, *_, last = means = [(gamma, float(value)) for gamma, value in along.mean().items()]
    peak = max(means, key=lambda pair: pair[1])
    between = "" if peak in (first, last) else f", {peak[1]:.1f} at gamma {peak[0]:g}"
    verdict = "The sets want different ones" if best.nunique() > 1 else "All sets want the same one"
    return (f"Every gamma keeps the same entries and only weighs them differently. {verdict}: mIoU is highest at gamma "
            f"{listed}. The mean of the sets is {first[1]:.1f} at gamma {first[0]:g}{between} and {last[1]:.1f} at "
            f"gamma {last[0]:g}.")


def _kept_by_masks(frame: pd.DataFrame, highest: float) -> pd.DataFrame:
    """A row per VFM and fixed threshold: mIoU, the share of similarities kept (%), and both of the adaptive mask."""
    miou, kept = (scores(frame, metric).groupby(["vfm", "rule"], sort=False)["value"].mean()
                  for metric in ("miou", "kept"))
    both = pd.DataFrame({"miou": miou, "kept": kept}).dropna().reset_index()
    own = both[both["rule"] == DEFAULT].set_index("vfm")[["miou", "kept"]].add_prefix("own_")
    hard = both[both["rule"].str.startswith("hard:")]
    hard = hard.assign(alpha=hard["rule"].str.removeprefix("hard:").astype(float))
    return hard[hard["alpha"] <= highest].join(own, on="vfm", how="inner")


def of_one_threshold(frame: pd.DataFrame, highest: float = 1.0) -> str:
    """What the threshold that serves all VFMs best keeps of each, and what it costs them."""
    masks = _kept_by_masks(frame, highest)
    if masks.empty:
        return ""
    share = masks["miou"] / masks.groupby("vfm")["miou"].transform("max")
    alpha = share.groupby(masks["alpha"]).min().idxmax()
    chosen = masks["alpha"] == alpha
    kept = masks.loc[chosen, "kept"]
    return (f"One threshold serves them all: at alpha {alpha:g} the fixed mask keeps from {kept.min():.0f} to "
            f"{kept.max():.0f} % of the similarities, depending on the VFM, and each VFM comes within "
            f"{100 - 100 * share[chosen].min():.1f} % of its best.")


def of_the_adaptive_threshold(frame: pd.DataFrame, highest: float = 1.0) -> str:
    """What the adaptive mask keeps beside the best fixed one, for each VFM."""
    masks = _kept_by_masks(frame, highest)
    if masks.empty:
        return ""
    best = masks.loc[masks.groupby("vfm", sort=False)["miou"].idxmax()]
    short = best["own_miou"] < CLOSE * best["miou"]

    def listed(rows: pd.DataFrame) -> str:
        return enumerated(f"{row.own_kept:.0f} against {row.kept:.0f} % ({row.vfm}, alpha {row.alpha:g})"
                          for row in rows.itertuples())

    if not short.any():
        return f"The adaptive and the best fixed mask keep {listed(best)} of the similarities."
    rest = "" if short.all() else f"; where it does not, {listed(best[~short])}"
    more = (best["own_kept"] > best["kept"])[short]
    how = "more " if more.all() else "fewer " if not more.any() else "other "
    return (f"Where the adaptive mask falls short it keeps {how}of the similarities than the best fixed one: "
            f"{listed(best[short])}{rest}.")


def of_the_query_key_attention(frame: pd.DataFrame) -> str:
    """How much of CLIP's own attention stays in the region of the patch that attends."""
    frame = frame[frame["vfm"] == ""]
    shares = {rule: mean_over_sets(frame, "own_region", rule) for rule in ("vanilla", *CLIP_KINDS)}
    if None in (shares["vanilla"], shares["qk"]):
        return ""
    how = "no more" if shares["qk"] <= shares["vanilla"] else "more"
    inside, trained = (per_set(frame, rule) for rule in ("qk", "vanilla"))
    above = [name for name, value in inside.items() if name in trained and value.exceeds(trained[name])]
    others = [(method_of(rule), shares[rule]) for rule in ("qq", "kk") if shares[rule] is not None]
    return (f"With q-k a patch's own region receives {shares['qk']:.0f} % of the attention, {how} than the "
            f"{shares['vanilla']:.0f} % in CLIP as trained"
            f"{f'; it is {with_figures(others)}' if others else ''}. Its mIoU is above that of CLIP as trained on "
            f"{len(above)} of {len(inside)} sets{f' ({enumerated(above)})' if above else ''}.")


def of_the_attention(frame: pd.DataFrame) -> str:
    """Where the proxy is not ahead: what stays in a patch's region, beside the best of CLIP's own, and the control."""
    proxy, regions, identity = per_set(frame, DEFAULT), per_set(frame, DEFAULT, "own_region"), per_set(frame, IDENTITY)
    parts = []
    for name, value in proxy.items():
        others = {kind: found[name] for kind in CLIP_KINDS if name in (found := per_set(frame, kind))}
        if all(value.exceeds(other) for other in others.values()):
            continue
        theirs = {kind: found[name] for kind in others if name in (found := per_set(frame, kind, "own_region"))}
        if name in regions and theirs:
            kind = max(theirs, key=lambda kind: others[kind].value)
            control = f" (and each patch's own value alone scores {identity[name]})" if name in identity else ""
            parts.append(f"{regions[name].value:.0f} % of the attention on {name}, against {theirs[kind].value:.0f} % "
                         f"with {CLIP_KINDS[kind]}{control}")
    return f"Where it is not ahead, a patch's own region receives {enumerated(parts)}." if parts else ""


def of_the_grid(frame: pd.DataFrame) -> str:
    """What each model's grid scores before anything is averaged, and what its similarities add."""
    identity, proxy = (scores(frame[frame["rule"] == rule]).groupby("method", sort=False)["value"].mean()
                       for rule in (IDENTITY, DEFAULT))
    names = [name for name in identity.index
             if name in proxy and "dino" in name.lower() and "dinov2" not in name.lower()]
    if len(names) < 2:
        return ""
    grids = enumerated(f"{identity[name]:.1f} with {name}" for name in names)
    gains = enumerated(f"{proxy[name] - identity[name]:+.1f}" for name in names)
    spread = [max(values[names]) - min(values[names]) for values in (identity, proxy - identity)]
    what = "the similarities that differ more" if spread[1] > spread[0] else "the grids that differ more"
    return (f"It is {what}: each patch's own value, without any averaging, scores {grids}, and averaging by the VFM's "
            f"similarities adds {gains} points.")


def of_the_words(frame: pd.DataFrame) -> str:
    """How often a combination of words is answered with a bare texture."""
    rules = list(dict.fromkeys(frame.loc[frame["metric"] == "answered_texture", "rule"]))
    shares = [(method_of(rule) + " (attention alone)" * rule.endswith("/attention"),
               mean_over_sets(frame, "answered_texture", rule)) for rule in rules]
    if not shares:
        return ""
    return f"Pixels of combined classes are labelled with a bare texture in {with_figures(shares)}."


def of_the_supervised(frame: pd.DataFrame) -> str:
    """What the supervised reference and the proxy answer that is not there, and what the reference scores by words."""
    absent = frame[frame["metric"] == "absent_classes"]
    answered = {"the supervised segmenter": absent[absent["rule"] == ""],
                "ProxyCLIP": absent[absent["rule"] == DEFAULT]}
    if any(rows.empty for rows in answered.values()):
        return ""
    figures = [(name, float(rows["value"].mean())) for name, rows in answered.items()]
    groups = frame[(frame["metric"] == "miou") & frame["setting"].isin(NOVELTY) & (frame["rule"] == "")]
    values = groups.groupby("setting", sort=False)["value"].mean().reindex(NOVELTY).dropna()
    listed = enumerated(f"{value:.1f} on {name}" for name, value in values.items())
    return ("A class that is predicted although it occurs nowhere in the set counts as 0; a set has "
            f"{with_figures(figures, '')}. Of the classes that occur, the segmenter learned the textures by name and "
            f"none of the combinations; it scores {listed}.")


def of_the_outlines(frame: pd.DataFrame) -> str:
    """What identity draws, beside what the proxy draws."""
    return of_the_averaging(frame, "boundary_iou", "Boundary IoU") or of_the_mask(frame)


def of_the_averaging(frame: pd.DataFrame, metric: str, what: str) -> str:
    """A metric on every set where each patch keeps its own value, and what the averaging adds to it or takes away."""
    proxy, identity = (per_set(frame, rule, metric) for rule in (DEFAULT, IDENTITY))
    change = {name: round(value.value - identity[name].value, 1) + 0.0  # no cost of "0.0"
              for name, value in proxy.items() if name in identity}
    if not change:
        return ""

    def listed(names: Sequence[str]) -> str:
        return enumerated(f"{abs(change[name]):.1f} points on {name}, where each patch's own value has {identity[name]}"
                          for name in names)

    lost, gained, same = ([name for name in change if np.sign(change[name]) == sign] for sign in (-1, 1, 0))
    effects = [*([f"costs {listed(lost)}"] if lost else []), *([f"adds {listed(gained)}"] if gained else []),
               *([f"changes nothing on {enumerated(same)}"] if same else [])]
    rest = "" if lost else "; another rule comes within the error of that or exceeds it"
    return f"{what}: averaging {'; it '.join(effects)}{rest}."
