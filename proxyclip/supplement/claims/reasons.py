"""Why a claim does not hold, as far as the records measure it: one sentence each, with its figures.

A reason compares measured quantities of the mechanism that the claim is about: what the mask keeps, what is scored
without any proxy (the rule ``identity``), where the attention goes, what is answered instead.
"""

from __future__ import annotations

import pandas as pd

from proxyclip.rules import Adaptive, Identity
from proxyclip.supplement.claims.claim import average, enumerated, mean_over_sets, scores, with_figures
from proxyclip.supplement.display_names import method_of
from proxyclip.supplement.paper import DEFAULT_BETA

DEFAULT, IDENTITY = Adaptive().name, Identity().name


def of_the_mask(frame: pd.DataFrame) -> str:
    """What the default mask keeps, and what is scored without it."""
    kept, alone = (mean_over_sets(frame, metric, DEFAULT) for metric in ("kept", "rows_alone"))
    if kept is None or alone is None:
        return ""
    sentence = f"The default mask keeps {kept:.0f} % of the similarities and leaves {alone:.0f} % of the patches alone"
    proxy, identity = average(frame, DEFAULT), average(frame, IDENTITY)
    if proxy is None or identity is None:
        return f"{sentence}."
    gain = proxy.value - identity.value
    return f"{sentence}; averaging by them gains {gain:+.1f} points over each patch's own value ({identity})."


def of_the_sweep(frame: pd.DataFrame) -> str:
    """What the mask keeps at the lowest and at the highest swept threshold."""
    kept, alone = (scores(frame, metric).groupby("beta")["value"].mean() for metric in ("kept", "rows_alone"))
    if kept.empty:
        return ""
    parts = (f"{kept[beta]:.0f} % at beta {beta:g} ({alone[beta]:.0f} % of the patches alone)"
             for beta in (kept.index.min(), kept.index.max()))
    return f"Of the similarities the mask keeps {' and '.join(parts)}, on the mean of the sets."


def of_the_thresholds(frame: pd.DataFrame) -> str:
    """What the adaptive mask keeps beside the best fixed one, for each VFM."""
    miou, kept = scores(frame), scores(frame, "kept")
    hard = miou[miou["alpha"].notna()].groupby(["vfm", "alpha"], sort=False)["value"].mean()
    shares = kept.groupby(["vfm", "rule"], sort=False)["value"].mean()
    parts = []
    for vfm in hard.index.get_level_values("vfm").unique():
        alpha = hard[vfm].idxmax()
        keys = [(vfm, DEFAULT), (vfm, f"hard:{alpha:g}")]
        if all(key in shares.index for key in keys):
            own, best = (shares[key] for key in keys)
            parts.append(f"{own:.0f} against {best:.0f} % at alpha {alpha:g} ({vfm})")
    return f"Of the similarities the adaptive and the best fixed mask keep {enumerated(parts)}." if parts else ""


def of_the_attention(frame: pd.DataFrame) -> str:
    """How much of each rule's attention stays in the region of the patch that attends."""
    if frame.loc[frame["vfm"] != "", "vfm"].nunique() > 1:  # the claim is about CLIP alone
        frame = frame[frame["vfm"] == ""]
    rules = [rule for rule in ("vanilla", "qk", "qq", "kk", IDENTITY, DEFAULT)
             if mean_over_sets(frame, "own_region", rule) is not None]
    shares = [(method_of(rule), mean_over_sets(frame, "own_region", rule)) for rule in rules]
    if len(shares) < 2:
        return ""
    identity = average(frame, IDENTITY)
    alone = "" if identity is None else f"; each patch's own value alone scores {identity}"
    return f"A patch's own region receives {with_figures(shares)} of the attention{alone}."


def of_the_grid(frame: pd.DataFrame) -> str:
    """What each model's grid scores before anything is averaged."""
    rows = scores(frame[frame["rule"] == IDENTITY]).groupby("method", sort=False)["value"].mean()
    proxy = scores(frame[frame["rule"] == DEFAULT]).groupby("method", sort=False)["value"].mean()
    parts = [f"{rows[name]:.1f} with {name}, which its similarities raise by {proxy[name] - rows[name]:+.1f}"
             for name in rows.index if name in proxy and "dino" in name.lower() and "dinov2" not in name.lower()]
    return f"Each patch's own value, without any averaging, scores {enumerated(parts)} points." if parts else ""


def of_the_words(frame: pd.DataFrame) -> str:
    """How often a combination of words is answered with a bare texture."""
    rules = list(dict.fromkeys(frame.loc[frame["metric"] == "answered_texture", "rule"]))
    shares = [(method_of(rule) + " (attention alone)" * rule.endswith("/attention"),
               mean_over_sets(frame, "answered_texture", rule)) for rule in rules]
    if not shares:
        return ""
    return f"Pixels of combined classes are labelled with a bare texture in {with_figures(shares)}."


def of_the_scale(frame: pd.DataFrame) -> str:
    """Where the best gamma of each set lies, beside how similar its patches are."""
    rows = scores(frame)
    rows = rows[(rows["beta"] == DEFAULT_BETA) & rows["gamma"].notna() & rows["rule"].str.startswith("adaptive")]
    similarity = scores(frame, "mean_similarity")
    mean = similarity[similarity["rule"] == DEFAULT].groupby("dataset")["value"].mean().sort_values()
    best = {name: part.loc[part["value"].idxmax(), "gamma"] for name, part in rows.groupby("dataset", sort=False)}
    parts = [f"{best[name]:g} on {name} (mean(S) {value:.2f})" for name, value in mean.items() if name in best]
    if len(parts) < 2:
        return ""
    return f"At beta {DEFAULT_BETA:g} the best gamma of the sweep is {enumerated(parts)}."


def where_it_trails(frame: pd.DataFrame, metric: str = "miou") -> str:
    """What each patch's own value has on the set where the proxy trails the others most, beside the proxy."""
    rows = scores(frame, metric)
    own, alone = (rows[rows["rule"] == rule].groupby("dataset", sort=False)["value"].mean()
                  for rule in (DEFAULT, IDENTITY))
    rest = rows[~rows["rule"].isin([DEFAULT, IDENTITY])].groupby(["rule", "dataset"])["value"].mean()
    if own.empty or rest.empty:
        return ""
    best = rest.groupby("dataset").max()
    name = (own - best.reindex(own.index)).idxmin()  # in the order of the sets, as the verdict names the first of two
    if name not in alone:
        return ""
    change = own[name] - alone[name]
    does = f"{'gains' if change > 0 else 'loses'} {abs(change):.1f} points" if change else "changes nothing"
    return (f"On {name} each patch's own value, without any averaging, has {alone[name]:.1f} and the proxy "
            f"{own[name]:.1f}: there averaging {does}.")
