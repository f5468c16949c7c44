"""Chapter B: mIoU along the shift beta and the scale gamma."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from proxyclip.rules import Adaptive, Identity
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import Value, scores
from proxyclip.supplement.figures.plots import BookFigure, heat_map, lines, set_colours, show

DEFAULT = Adaptive(paper.DEFAULT_BETA, paper.DEFAULT_GAMMA).name
RANGE = "range in the supplement"


def with_vfm(frame: pd.DataFrame, vfm: str) -> pd.DataFrame:
    """The mIoU of the grid with one foundation model, averaged over the seeds: a row per set and rule."""
    return scores(frame[frame["vfm"] == vfm]).assign(metric="miou")


def kept_by_beta(frame: pd.DataFrame, vfm: str) -> dict[str, pd.Series]:
    """Share of the similarities that each beta keeps (per cent) on each set, averaged over the seeds."""
    rows = scores(frame[(frame["vfm"] == vfm) & frame["beta"].notna()], "kept")
    return {name: part.set_index("beta")["value"].sort_index() for name, part in rows.groupby("dataset", sort=False)}


def default_against_best(frame: pd.DataFrame) -> pd.DataFrame:
    """The default, the best of the grid and the identity: a row per VFM and set, mIoU with standard errors."""
    rows = {}
    for (vfm, name), part in scores(frame[frame["vfm"] != ""]).groupby(["vfm", "dataset"], sort=False):
        by_rule = part.set_index("rule")
        grid = by_rule[by_rule["beta"].notna()]
        best = grid.loc[grid["value"].idxmax()]
        if DEFAULT in grid.index:
            shown = {DEFAULT, Identity().name, best.name} & set(by_rule.index)
            value = {rule: Value(*by_rule.loc[rule, ["value", "error"]]) for rule in shown}
            rows[f"{vfm}, {name}"] = {
                "paper": "not stated", "measured at the default": str(value[DEFAULT]),
                "measured at the best": str(value[best.name]),
                "difference": f"{value[DEFAULT].value - value[best.name].value:.1f}",
                "best beta": f"{best['beta']:g}", "best gamma": f"{best['gamma']:g}",
                "identity": str(value.get(Identity().name, "–"))}
    return pd.DataFrame.from_dict(rows, orient="index")


def factor_sweeps(frame: pd.DataFrame, note: str) -> BookFigure | None:
    """mIoU along beta at the default gamma and along gamma at the default beta; None where neither was run."""
    colours = set_colours(list(dict.fromkeys(frame["dataset"])))
    panels, alt_text = [], []
    for along, axis, fixed, fixed_axis, value, band, mark in (
        ("beta", r"shift $\beta$", "gamma", r"$\gamma$", paper.DEFAULT_GAMMA, paper.BETA_RANGE, paper.DEFAULT_BETA),
        ("gamma", r"scale $\gamma$", "beta", r"$\beta$", paper.DEFAULT_BETA, paper.GAMMA_RANGE, paper.DEFAULT_GAMMA),
    ):
        rows = frame[(frame["metric"] == "miou") & (frame[fixed] == value)].sort_values(along)
        curves = {name: part.set_index(along)["value"] for name, part in rows.groupby("dataset", sort=False)}
        if curves:
            title = f"Along {axis.split()[-1]}, {fixed_axis} = {value:g}"
            panels.append(lines(curves, colours, axis, "mIoU, %", title, band=band, band_text=RANGE, mark=mark))
            best = (f"{name}: best {along} {curve.idxmax():g}" for name, curve in curves.items())
            alt_text.append("; ".join(best) + ".")
    return show(panels, f"mIoU along each factor; {note}.", alt_text) if panels else None


def factor_grid(frame: pd.DataFrame, note: str) -> BookFigure:
    """mIoU of each (beta, gamma) as a share of the set's best, averaged over the sets."""
    frame = frame[frame["metric"] == "miou"]
    share = 100 * frame["value"] / frame.groupby("dataset")["value"].transform("max")
    share = frame.assign(share=share).pivot_table(index="beta", columns="gamma", values="share")
    beta, gamma = share.stack().idxmax()
    picture = heat_map(share, r"scale $\gamma$", r"shift $\beta$", "mIoU, % of the best", digits=1,
                       marked=(paper.DEFAULT_BETA, paper.DEFAULT_GAMMA))
    return show(
        [picture], f"Share of each set's best mIoU, mean over {frame['dataset'].nunique()} sets; {note}.",
        f"The highest mean share is {share.max(axis=None):.1f} % at beta {beta:g}, gamma {gamma:g}; the lowest "
        f"{share.min(axis=None):.1f} %.")


def kept_along_beta(kept: Mapping[str, pd.Series], note: str) -> BookFigure:
    """Share of the similarity matrix that each beta keeps, in per cent, by set."""
    picture = lines(kept, set_colours(list(kept)), r"shift $\beta$", "kept entries, %", "What the mask leaves",
                    band=paper.BETA_RANGE, band_text=RANGE, mark=paper.DEFAULT_BETA)
    alt_text = (
        f"{name}: {curve.iloc[0]:.0f} % at beta {curve.index[0]:g}, {curve.iloc[-1]:.0f} % at {curve.index[-1]:g}"
        for name, curve in kept.items()
    )
    return show([picture], f"Share of the similarity matrix at or above the threshold, by beta; {note}.",
                "; ".join(alt_text) + ".")
