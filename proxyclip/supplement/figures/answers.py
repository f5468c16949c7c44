"""The answer of a chapter in a sentence, made from its records, with its claims as marks."""

from __future__ import annotations

import html
from collections.abc import Callable

import pandas as pd

from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import CLIP_KINDS, DEFAULT, IDENTITY, enumerated, scores
from proxyclip.supplement.claims.ledger import judge_by_vfm
from proxyclip.supplement.figures.tables import MARKS, Shown, distinct
from proxyclip.supplement.records import Result, Verdict, table

#: Points of mIoU within which two scores are called level.
LEVEL = 1.5
CLIP_RULES = {"vanilla": "CLIP as trained", **CLIP_KINDS}
#: Methods without training that came at the same time as ProxyCLIP or later, and are not in its supplement.
LATER = ("ClearCLIP", "NACLIP")


def _as_html(sentence: str, result: Result) -> str:
    """The sentence in its box, with a mark for each claim, or, in a chapter of our own, for each check."""
    others = list(judge_by_vfm(result.records, result.section).values())[1:]
    about = "claims of this section" if result.verdicts else "checks of this chapter"
    marks = []
    for verdict in result.verdicts or result.checks:
        shown = distinct([verdict, *(found[verdict.claim] for found in others if verdict.claim in found)])
        parts = "; ".join(_mark(one, len(shown) > 1) for one in shown)
        marks.append(f"<li><strong>{verdict.claim}</strong> {parts}</li>")
    return (f'<div class="answer"><p><strong>In one sentence.</strong> {html.escape(sentence)}</p>'
            f'<ul class="marks" aria-label="{about}">{"".join(marks)}</ul></div>')


def _mark(verdict: Verdict, named: bool) -> str:
    sign, kind = MARKS[verdict.status]
    about = f" with {html.escape(verdict.vfm)}" if named and verdict.vfm else ""
    return f'<span class="{kind}">{sign}\u00a0{verdict.status}{about}</span>'


def answer(result: Result) -> Shown:
    """What a chapter found, in a sentence made from its records, with its claims as marks."""
    frame = table(result.records)
    measured = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average")]
    sentence = _ANSWERS[result.section](frame, measured)
    sentence += f" (Profile {result.profile}.)"
    return Shown(_as_html(sentence, result), sentence)


def _means(measured: pd.DataFrame, rules: dict[str, str]) -> dict[str, float]:
    """Mean over the sets by name, of the rules that were run."""
    means = _over_sets(measured, "rule")
    return {name: float(means[rule]) for rule, name in rules.items() if rule in means}


def _a(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    found = _means(measured, {**CLIP_RULES, IDENTITY: "each patch's own value", DEFAULT: "the proxy"})
    if "the proxy" not in found:
        return "The shapes of Stable Diffusion's blocks follow from its architecture; no diffusion model was run."
    rest = enumerated(f"{value:.1f} for {name}" for name, value in found.items() if name != "the proxy")
    return (f"With a diffusion model's features as the proxy the mIoU is {found['the proxy']:.1f}, averaged over "
            f"{_sets(measured)}, against {rest}.")


def _b(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    grid = scores(measured[measured["beta"].notna()])  # averaged over seeds, as the claims judge it
    share = 100 * grid["value"] / grid.groupby(["dataset", "vfm"])["value"].transform("max")
    inside = grid["beta"].between(*paper.BETA_RANGE) & grid["gamma"].between(*paper.GAMMA_RANGE)
    default = share[grid["rule"] == DEFAULT]
    if not inside.any() or default.empty:
        return "The grid of this run does not hold the supplement's ranges and its default."
    return (f"Inside the supplement's ranges every score of the grid lies between {share[inside].min():.1f} and "
            f"{share[inside].max():.1f} % of its set's best, and the default reaches {default.min():.1f} to "
            f"{default.max():.1f} %.")


def _d(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    fixed = measured[measured["alpha"].notna()].pivot_table(index="vfm", columns="alpha", values="value")
    adaptive = measured[measured["rule"] == DEFAULT].groupby("vfm")["value"].mean()
    shared = [vfm for vfm in fixed.index if vfm in adaptive.index]
    if not shared:
        return "This run compares no threshold with the adaptive rule."
    best = fixed.loc[shared].idxmax(axis=1)
    *row, printed_adaptive = paper.TABLE_2["DINO"]
    printed = pd.Series(row, index=paper.TABLE_2_ALPHAS)
    level = [vfm for vfm in shared if adaptive[vfm] >= fixed.loc[vfm].max() - LEVEL]
    return (f"The best fixed threshold lies between {best.min():g} and {best.max():g}, depending on the model; without "
            f"being set for any of them, the adaptive rule comes within {LEVEL:g} points of it, or exceeds it, for "
            f"{len(level)} of {len(shared)} models. With that rule {adaptive[shared].idxmax()} is the best of them, "
            f"with {adaptive[shared].max():.1f} mIoU. In print (Table 2) DINO has its best, {printed.max():.1f}, at a "
            f"threshold of {printed.idxmax():g}, and {printed_adaptive:.1f} with that rule.")


def _e(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    found = _means(measured, CLIP_RULES) | _by_model(measured)
    order = " < ".join(f"{name} {value:.1f}" for name, value in sorted(found.items(), key=lambda item: item[1]))
    return f"Averaged over {_sets(measured)} the order of mIoU is {order}."


def _by_model(measured: pd.DataFrame) -> dict[str, float]:
    """Mean over the sets of the default rule, with each foundation model."""
    means = _over_sets(measured[measured["rule"] == DEFAULT], "label")
    return {f"ProxyCLIP ({label})" if label else "ProxyCLIP": float(value) for label, value in means.items()}


def _over_sets(rows: pd.DataFrame, *keys: str) -> pd.Series:
    """Mean over the sets, each of which counts once however many seeds could be measured on it."""
    per_set = rows.groupby([*keys, "dataset"], sort=False)["value"].mean()
    return per_set.groupby(list(keys), sort=False).mean()


def _sets(measured: pd.DataFrame) -> str:
    count = measured["dataset"].nunique()
    return f"{count} set{'s' * (count != 1)}"


def _f(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    plain = measured[measured["setting"].isin([paper.FREE, paper.NOT_PRINTED])]
    proxies = _by_model(plain)
    others = plain[~plain["rule"].isin([DEFAULT, IDENTITY])].pipe(_over_sets, "method").sort_values()
    if not proxies or others.empty:
        return "This run compares ProxyCLIP with no other method."
    named = enumerated(f"{name} scores {value:.1f}" for name, value in proxies.items())
    sentence = (f"Among the methods without training {named} mIoU on the large vocabularies of this run, and the best "
                f"of the others, {others.index[-1]}, {others.iloc[-1]:.1f}")
    bare = _over_sets(measured[measured["setting"] == paper.BARE], "method").sort_values()
    if len(bare):  # where re-implementations differ, and more than the methods do
        sentence += (f"; read without the block's residual connection and MLP, as ProxyCLIP is, {bare.index[-1]} has "
                     f"{bare.iloc[-1]:.1f}")
    return f"{sentence}."


def _g(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    parts = []
    for metric, words in (("boundary_iou", "boundary IoU"), ("small_recall", "recall of small objects")):
        rows = frame[frame["metric"] == metric]
        proxies = _by_model(rows)
        others = _over_sets(rows[~rows["rule"].isin([DEFAULT, IDENTITY])], "method").sort_values()
        if proxies and len(others):
            named = enumerated(f"{value:.1f} for {name}" for name, value in proxies.items())
            parts.append(f"the {words} is {named}, against {others.iloc[-1]:.1f} of {others.index[-1]}, the best of "
                         "the others")
    if not parts:
        return "Neither outlines nor small objects were scored."
    return f"On the mean of the sets, {'; '.join(parts)}."


def _h(frame: pd.DataFrame, measured: pd.DataFrame) -> str:
    means = {name: _over_sets(rows, "method", "vfm") for name, rows in measured.groupby("refinement")}
    plain, refined = means.get("", pd.Series(dtype=float)), means.get("pamr", pd.Series(dtype=float))
    later = [key for key in plain.index if key[0] in LATER]
    proxies = [key for key in plain.index if key[0] == "ProxyCLIP"]
    if not later or not proxies:
        return "This run compares ProxyCLIP with no method that came after it."
    best = max(later, key=plain.get)
    parts = enumerated(f"{plain[key]:.1f} with {key[1]}" for key in proxies)
    sentence = (f"Averaged over {_sets(measured)} ProxyCLIP scores {parts}, and the better of "
                f"{enumerated(LATER)}, {best[0]}, {plain[best]:.1f}")
    if len(refined):
        gains = refined - plain.loc[refined.index]
        sentence += f"; PAMR changes the methods' means by {gains.min():+.1f} to {gains.max():+.1f} points"
    return f"{sentence}."


_ANSWERS: dict[str, Callable[[pd.DataFrame, pd.DataFrame], str]] = {
    "A": _a, "B": _b, "D": _d, "E": _e, "F": _f, "G": _g, "H": _h,
}
