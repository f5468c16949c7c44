"""Chapter B: mIoU along the shift beta and the scale gamma."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from proxyclip.explorer.document import ExplorerLink
from proxyclip.rules import Adaptive, Identity
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import Value, scores
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.figures.plots import heat_map, lines

DEFAULT = Adaptive(paper.DEFAULT_BETA, paper.DEFAULT_GAMMA).name
RANGE = "called good"


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
                "measured at the default": str(value[DEFAULT]),
                "measured at the best": str(value[best.name]),
                "difference": f"{value[DEFAULT].value - value[best.name].value:.1f}",
                "best beta": f"{best['beta']:g}", "best gamma": f"{best['gamma']:g}",
                "identity": str(value.get(Identity().name, "–"))}
    return pd.DataFrame.from_dict(rows, orient="index")


def factor_sweeps(frame: pd.DataFrame, note: str) -> BookFigure | None:
    """mIoU along beta at the default gamma and along gamma at the default beta; None where neither was run."""
    panels, alts, seen = [], [], []
    for along, axis, fixed, fixed_axis, value, band, mark in (
        ("beta", "shift β", "gamma", "γ", paper.DEFAULT_GAMMA, paper.BETA_RANGE, paper.DEFAULT_BETA),
        ("gamma", "scale γ", "beta", "β", paper.DEFAULT_BETA, paper.GAMMA_RANGE, paper.DEFAULT_GAMMA),
    ):
        rows = frame[(frame["metric"] == "miou") & (frame[fixed] == value)].sort_values(along)
        curves = {name: part.groupby(along)["value"].mean() for name, part in rows.groupby("dataset", sort=False)}
        if curves:
            title = f"Along {axis.split()[-1]}, at {fixed_axis} = {value:g}"
            panels.append(lines(curves, axis, "mIoU, %", title, band=band, band_text=RANGE, mark=mark, height=320))
            alts.append("; ".join(f"{name}: best {along} {curve.idxmax():g}" for name, curve in curves.items()) + ".")
            low, high = _shares_inside(curves, band)
            seen.append(f"Inside the supplement's range of {along}, {band[0]:g} to {band[1]:g}, the scores stay "
                        f"between "
                        f"{low:.0f} and {high:.0f} % of each set's best in this sweep.")
    caption = ("mIoU along each factor, one curve a set; shaded: the range that the supplement calls good; dashed: its "
               f"default; {note}.")
    return show(panels, caption, alts, " ".join(seen)) if panels else None


def _shares_inside(curves: Mapping[str, pd.Series], band: tuple[float, float]) -> tuple[float, float]:
    """Lowest and highest share of a curve's own best inside a range, per cent."""
    shares = [100 * value / curve.max() for curve in curves.values()
              for value in curve[(curve.index >= band[0]) & (curve.index <= band[1])]]
    return (min(shares), max(shares)) if shares else (float("nan"), float("nan"))


def factor_grid(frame: pd.DataFrame, note: str) -> BookFigure:
    """mIoU of each (beta, gamma) as a share of the set's best, averaged over the sets."""
    frame = frame[frame["metric"] == "miou"]
    share = 100 * frame["value"] / frame.groupby("dataset")["value"].transform("max")
    share = frame.assign(share=share).pivot_table(index="beta", columns="gamma", values="share")
    beta, gamma = share.stack().idxmax()
    worst = share.stack().idxmin()
    picture = heat_map(share, "scale γ", "shift β", "mIoU, % of each set's best", digits=1,
                       marked=(paper.DEFAULT_BETA, paper.DEFAULT_GAMMA))
    default = (share.loc[paper.DEFAULT_BETA, paper.DEFAULT_GAMMA]
               if paper.DEFAULT_BETA in share.index and paper.DEFAULT_GAMMA in share.columns else float("nan"))
    seen = (f"The best cell is β = {beta:g}, γ = {gamma:g} with {share.max(axis=None):.1f} %, the worst β = "
            f"{worst[0]:g}, "
            f"γ = {worst[1]:g} with {share.min(axis=None):.1f} %"
            + ("." if pd.isna(default) else f"; the default, framed, has {default:.1f} %."))
    return show(
        [picture], f"Share of each set's best mIoU, mean over {frame['dataset'].nunique()} sets; {note}.",
        f"The highest mean share is {share.max(axis=None):.1f} % at beta {beta:g}, gamma {gamma:g}; the lowest "
        f"{share.min(axis=None):.1f} %.", seen)


def kept_along_beta(kept: Mapping[str, pd.Series], note: str) -> BookFigure:
    """Share of the similarity matrix that each beta keeps, in per cent, by set."""
    picture = lines(kept, "shift β", "kept entries, %", "What the mask leaves", band=paper.BETA_RANGE, band_text=RANGE,
                    mark=paper.DEFAULT_BETA)
    alts = (f"{name}: {curve.iloc[0]:.0f} % at beta {curve.index[0]:g}, {curve.iloc[-1]:.0f} % at {curve.index[-1]:g}"
            for name, curve in kept.items())
    at = [curve.loc[paper.DEFAULT_BETA] for curve in kept.values() if paper.DEFAULT_BETA in curve.index]
    seen = (f"At the default β = {paper.DEFAULT_BETA:g} the mask keeps {min(at):.0f} to {max(at):.0f} % of the "
            f"entries, "
            "depending on the set." if at else "")
    return show([picture], f"Share of the similarity matrix at or above the threshold, by β; {note}.",
                "; ".join(alts) + ".", seen)


def explorer_link() -> ExplorerLink:
    """The explorer on *The method*, where moving beta shows which entries survive."""
    return ExplorerLink("Open the explorer and move beta: from 1.6 down to 0.8, the mask opens and the weights spread.",
                        {"scene": "context", "vfm": "tiny_sam", "rule": "adaptive", "beta": 1.6, "gamma": 3})
