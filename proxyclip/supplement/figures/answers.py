"""The answer of a chapter in a sentence, made from its records, with its claims as marks."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import enumerated
from proxyclip.supplement.figures.tables import MARKS
from proxyclip.supplement.records import WITH_PAMR, Result, table

#: Points of mIoU within which two scores are called level.
LEVEL = 1.5
CLIP_RULES = {"vanilla": "CLIP as trained", "qk": "q-k", "qq": "q-q", "kk": "k-k"}
#: Setting of chapter F's records of methods without residual connection and MLP.
BARE = "without residual and MLP"
#: Methods without training that came after ProxyCLIP or at the same time, and are no part of its supplement.
LATER = ("ClearCLIP", "NACLIP")
DEFAULT = f"adaptive:{paper.DEFAULT_BETA:g},{paper.DEFAULT_GAMMA:g}"


@dataclass(frozen=True)
class Answer:
    """A sentence, and the claims that it stands on.

    Parameters
    ----------
    sentence : str
    result : Result
    """

    sentence: str
    result: Result

    def _repr_html_(self) -> str:
        about, verdicts = ("claims of this section", self.result.verdicts)
        if not verdicts:  # a chapter of our own
            about, verdicts = ("checks of this chapter", self.result.checks)
        marks = "".join(f'<li class="{MARKS[verdict.status][1]}"><strong>{verdict.claim}</strong>'
                        f"{f' ({verdict.vfm})' if verdict.vfm else ''} "
                        f"{MARKS[verdict.status][0]}\u00a0{verdict.status}</li>" for verdict in verdicts)
        return (f'<div class="answer"><p><strong>In one sentence.</strong> {html.escape(self.sentence)}</p>'
                f'<ul class="marks" aria-label="{about}">{marks}</ul></div>')

    def __repr__(self) -> str:
        return self.sentence


def answer(result: Result) -> Answer:
    """What a chapter found, from its records."""
    frame = table(result.records)
    measured = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average")]
    sentence = _ANSWERS[result.section](frame, measured)
    return Answer(f"{sentence} (Profile {result.profile}.)", result)


def _means(measured: pd.DataFrame, rules: dict[str, str]) -> dict[str, float]:
    """Mean over the sets by name, of the rules that were run."""
    means = measured.groupby("rule")["value"].mean()
    return {name: float(means[rule]) for rule, name in rules.items() if rule in means}


def _a(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    found = _means(measured, {**CLIP_RULES, DEFAULT: "the proxy"})
    if "the proxy" not in found:
        return "The shapes of Stable Diffusion's blocks follow from its architecture; no diffusion model was run."
    rest = enumerated(f"{value:.1f} for {name}" for name, value in found.items() if name != "the proxy")
    return (f"Features of a diffusion model can take the place of the proxy: averaged over "
            f"{measured['dataset'].nunique()} "
            f"sets they give {found['the proxy']:.1f} mIoU, against {rest}.")


def _b(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    best = measured.groupby(["dataset", "vfm"])["value"].transform("max")
    share = 100 * measured["value"] / best
    inside = measured["beta"].between(*paper.BETA_RANGE) & measured["gamma"].between(*paper.GAMMA_RANGE)
    default = share[measured["rule"] == DEFAULT]
    if not inside.any() or default.empty:
        return "The grid of this run does not hold the supplement's ranges and its default."
    return (f"Inside the supplement's ranges every score of the grid lies between {share[inside].min():.0f} and "
            f"{share[inside].max():.0f} % of its set's best, and the default reaches {default.min():.0f} to "
            f"{default.max():.0f} %.")


def _c(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    costs = frame[(frame["metric"] == "flops") & (frame["profile"] == "architecture")].set_index("method")["value"]
    if "CLIP" not in costs:
        return "No full-size model was counted."
    parts = [f"{costs[name] / costs['CLIP']:.1f} times the multiply-accumulates of CLIP with "
             f"{name.partition('(')[2].rstrip(')')}" for name in costs.index if name.startswith("ProxyCLIP (DINO")]
    return (f"A second model has its price: ProxyCLIP takes {enumerated(parts)}, so the patch size decides what it "
            "costs.")


def _d(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    fixed = measured[measured["alpha"].notna()].pivot_table(index="vfm", columns="alpha", values="value")
    adaptive = measured[measured["rule"] == DEFAULT].groupby("vfm")["value"].mean()
    shared = [vfm for vfm in fixed.index if vfm in adaptive.index]
    if not shared:
        return "This run compares no threshold with the adaptive rule."
    best = fixed.loc[shared].idxmax(axis=1)
    level = [vfm for vfm in shared if adaptive[vfm] >= fixed.loc[vfm].max() - LEVEL]
    return (f"The best fixed threshold lies between {best.min():g} and {best.max():g}, depending on the model; without "
            f"being set for any of them, the adaptive rule comes within {LEVEL:g} points of it, or exceeds it, for "
            f"{len(level)} of {len(shared)} models.")


def _e(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    parts = []
    vfms = [vfm for vfm in dict.fromkeys(measured.loc[measured["rule"] == DEFAULT, "vfm"]) if vfm]
    for vfm in vfms:
        rows = measured[(measured["vfm"] == "") | (measured["vfm"] == vfm)]
        found = _means(rows, {**CLIP_RULES, DEFAULT: f"the proxy ({vfm})"})
        order = sorted(found.items(), key=lambda item: item[1])
        parts.append(" < ".join(f"{name} {value:.1f}" for name, value in order))
    return f"Averaged over {measured['dataset'].nunique()} sets the order of mIoU is {'; '.join(parts)}."


def _f(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    plain = measured[measured["setting"].isin([paper.FREE, "not in Table 4"])]
    means = plain.groupby("method")["value"].mean().sort_values()
    if "ProxyCLIP" not in means or len(means) < 2:
        return "This run compares ProxyCLIP with no other method."
    other = means.drop("ProxyCLIP")
    sentence = (f"Among the methods without training ProxyCLIP scores {means['ProxyCLIP']:.1f} mIoU on the large "
                f"vocabularies of this run, and the best of the others, {other.index[-1]}, {other.iloc[-1]:.1f}")
    bare = measured[measured["setting"] == BARE].groupby("method")["value"].mean().sort_values()
    if len(bare):  # where re-implementations differ, and more than the methods do
        sentence += (f"; read without the block's residual connection and MLP, as ProxyCLIP is, {bare.index[-1]} has "
                     f"{bare.iloc[-1]:.1f}")
    return f"{sentence}."


def _g(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    parts = []
    for metric, words in (("boundary_iou", "boundary IoU"), ("small_recall", "recall of small objects")):
        means = frame[frame["metric"] == metric].groupby("method")["value"].mean().sort_values()
        if "ProxyCLIP" in means and len(means) > 1:
            other = means.drop("ProxyCLIP")
            parts.append(f"{words} {means['ProxyCLIP']:.1f} against {other.iloc[-1]:.1f} of {other.index[-1]}, the "
                         f"best of "
                         "the others")
    if not parts:
        return "Neither outlines nor small objects were scored."
    return f"ProxyCLIP's means over the sets: {enumerated(parts)}."


def _h(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    means = {setting: rows.groupby(["method", "vfm"])["value"].mean() for setting, rows in measured.groupby("setting")}
    plain, refined = means.get("", pd.Series(dtype=float)), means.get(WITH_PAMR, pd.Series(dtype=float))
    later = [key for key in plain.index if key[0] in LATER]
    proxies = [key for key in plain.index if key[0] == "ProxyCLIP"]
    if not later or not proxies:
        return "This run compares ProxyCLIP with no method that came after it."
    best = max(later, key=plain.get)
    parts = enumerated(f"{plain[key]:.1f} with {key[1]}" for key in proxies)
    sentence = (f"Averaged over {measured['dataset'].nunique()} sets ProxyCLIP scores {parts}, and the better of "
                f"{enumerated(LATER)}, {best[0]}, {plain[best]:.1f}")
    if len(refined):
        gains = refined - plain.loc[refined.index]
        sentence += f"; PAMR changes the methods' means by {gains.min():+.1f} to {gains.max():+.1f} points"
    return f"{sentence}."


_ANSWERS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], str]] = {
    "A": _a, "B": _b, "C": _c, "D": _d, "E": _e, "F": _f, "G": _g, "H": _h,
}
