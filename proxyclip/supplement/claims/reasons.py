"""Why a claim does not hold, as far as the records measure it: one sentence each, with its figures.

A reason compares measured quantities of the mechanism that the claim is about: what the mask keeps, what is scored
without any proxy (the rule ``identity``), where the attention goes, what is answered instead.
"""

from __future__ import annotations

import pandas as pd

from proxyclip.rules import Adaptive, Identity
from proxyclip.supplement.claims.claim import average, enumerated, mean_over_sets, per_set, scores, with_figures
from proxyclip.supplement.display_names import method_of

DEFAULT, IDENTITY = Adaptive().name, Identity().name
#: Groups of the classes of a large generated vocabulary, as section F's records name them.
NOVELTY = ("textures", "combinations that were captioned", "combinations that never were")


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


def of_the_sharpness(frame: pd.DataFrame) -> str:
    """What is scored along gamma at the default beta, and with no proxy."""
    rows = scores(frame)
    rows = rows[(rows["beta"] == Adaptive().beta) & rows["rule"].str.startswith("adaptive")]
    means = rows.groupby("gamma")["value"].mean()
    if len(means) < 2:
        return ""
    along = enumerated(f"{value:.1f} at gamma {gamma:g}" for gamma, value in means.items())
    identity = average(frame, IDENTITY)
    alone = "" if identity is None else f"; each patch's own value alone scores {identity}"
    return f"With the same entries kept, the sharpness alone moves the mean of the sets: {along}{alone}."


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
    return (f"Classes that are answered and occur nowhere count as 0: on a set there are {with_figures(figures, '')}. "
            f"On the classes that occur, the segmenter, whose masks named no combination, scores {listed}.")


def of_the_outlines(frame: pd.DataFrame) -> str:
    """What identity draws, beside what the proxy draws."""
    return _beside_identity(frame, "boundary_iou", "Boundary IoU") or of_the_mask(frame)


def of_small_objects(frame: pd.DataFrame) -> str:
    """How many small objects are found without averaging, and with it."""
    return _beside_identity(frame, "small_recall", "Recall of small objects")


def of_the_accuracy(frame: pd.DataFrame) -> str:
    """What identity scores, beside what the proxy scores."""
    return _beside_identity(frame, "miou", "mIoU")


def _beside_identity(frame: pd.DataFrame, metric: str, what: str) -> str:
    """A metric on every set where each patch keeps its own value, and what the averaging adds to it."""
    proxy, identity = (per_set(frame, rule, metric) for rule in (DEFAULT, IDENTITY))
    parts = [f"{identity[name]} on {name}, to which averaging adds {value.value - identity[name].value:+.1f} points"
             for name, value in proxy.items() if name in identity]
    return f"{what} is, where each patch keeps its own value, {enumerated(parts)}." if parts else ""
