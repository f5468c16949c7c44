"""Chapter B: mIoU along the shift beta and the scale gamma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from proxyclip.explorer.document import ExplorerLink
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import DEFAULT, IDENTITY, Value, scores
from proxyclip.supplement.display_names import labels_of
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.figures.plots import heat_map, lines

RANGE = "called good"


def with_vfm(frame: pd.DataFrame, vfm: str) -> pd.DataFrame:
    """The mIoU of the grid with one foundation model, averaged over the seeds: a row per set and rule."""
    return scores(frame[frame["vfm"] == vfm])


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
            shown = {DEFAULT, IDENTITY, best.name} & set(by_rule.index)
            value = {rule: Value(*by_rule.loc[rule, ["value", "error"]]) for rule in shown}
            rows[vfm, name] = {
                "set": name,
                "default": str(value[DEFAULT]),
                "best of the grid": str(value[best.name]),
                "difference": f"{value[DEFAULT].value - value[best.name].value:.1f}",
                "best beta": f"{best['beta']:g}", "best gamma": f"{best['gamma']:g}",
                "identity": str(value.get(IDENTITY, "–"))}
    shown = pd.DataFrame(rows.values(), index=pd.Index([vfm for vfm, _ in rows], name="VFM"))
    return shown.loc[shown.index.unique()].replace(" ± ", " ±\u00a0", regex=True)


#: What is swept, its axis, what is held and at which value, the supplement's range and its default.
SWEEPS = (
    ("beta", "shift β", "gamma", "γ", paper.DEFAULT_GAMMA, paper.BETA_RANGE, paper.DEFAULT_BETA),
    ("gamma", "scale γ", "beta", "β", paper.DEFAULT_BETA, paper.GAMMA_RANGE, paper.DEFAULT_GAMMA),
)


def factor_sweeps(scores_by_vfm: Mapping[str, pd.DataFrame], note: str) -> BookFigure | None:
    """mIoU along beta at the default gamma and along gamma at the default beta; None where neither was run.

    Parameters
    ----------
    scores_by_vfm : mapping of VFM to DataFrame
        Of :func:`with_vfm`; a row of panels for each.
    note : str
    """
    panels, alts, seen = [], [], []
    for name, frame in _labelled(scores_by_vfm).items():
        for along, axis, fixed, fixed_axis, value, band, mark in SWEEPS:
            rows = frame[frame[fixed] == value].sort_values(along)
            curves = {data: part.groupby(along)["value"].mean() for data, part in rows.groupby("dataset", sort=False)}
            if not curves:
                continue
            title = f"along {axis.split()[-1]}, at {fixed_axis} = {value:g}"
            panels.append(lines(curves, axis, "mIoU, %", _title(name, title), band=band, band_text=RANGE,
                                mark=mark, height=320))
            alts.append("; ".join(f"{data}: best {along} {curve.idxmax():g}" for data, curve in curves.items()) + ".")
            low, high = _shares_inside(curves, band)
            sentence = (f"inside the supplement's range of {along}, {band[0]:g} to {band[1]:g}, the scores stay "
                        f"between {low:.0f} and {high:.0f} % of each set's best in this sweep.")
            seen.append(_title(name, sentence))
    caption = ("mIoU along each factor, one curve a set; shaded: the range that the supplement calls good; dashed: its "
               f"default; {note}.")
    return show(panels, caption, alts, " ".join(seen)) if panels else None


def _labelled(by_vfm: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping by the beginning of a title, ``"DINO: "``, which is empty where there is one model."""
    names = labels_of(by_vfm)
    return {f"{names[vfm]}: " if len(by_vfm) > 1 else "": found for vfm, found in by_vfm.items()}


def _shares_inside(curves: Mapping[str, pd.Series], band: tuple[float, float]) -> tuple[float, float]:
    """Lowest and highest share of a curve's own best inside a range, per cent."""
    shares = [100 * value / curve.max() for curve in curves.values()
              for value in curve[(curve.index >= band[0]) & (curve.index <= band[1])]]
    return (min(shares), max(shares)) if shares else (float("nan"), float("nan"))


def factor_grid(scores_by_vfm: Mapping[str, pd.DataFrame], note: str) -> BookFigure:
    """mIoU of each (beta, gamma) as a share of the set's best, averaged over the sets; a panel for each VFM."""
    panels, alts, seen = [], [], []
    for name, frame in _labelled(scores_by_vfm).items():
        share = _shares_of_the_best(frame)
        beta, gamma = share.stack().idxmax()
        worst = share.stack().idxmin()
        panels.append(heat_map(share, "scale γ", "shift β", f"{name}mIoU, % of the best", digits=1,
                               marked=(paper.DEFAULT_BETA, paper.DEFAULT_GAMMA)))
        default = share.stack().get((paper.DEFAULT_BETA, paper.DEFAULT_GAMMA))
        high, low = share.max(axis=None), share.min(axis=None)
        seen.append(_title(name, f"the best cell is β = {beta:g}, γ = {gamma:g} with {high:.1f} %, the worst β = "
                                 f"{worst[0]:g}, γ = {worst[1]:g} with {low:.1f} %")
                    + ("." if default is None else f"; the default, framed, has {default:.1f} %."))
        alts.append(_title(name, f"the highest mean share is {high:.1f} % at beta {beta:g}, gamma {gamma:g}; the "
                                 f"lowest {low:.1f} %."))
    sets = next(iter(scores_by_vfm.values()))["dataset"].nunique()
    return show(panels, f"Share of each set's best mIoU, mean over {sets} sets; {note}.", alts, " ".join(seen))


def _shares_of_the_best(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean over the sets of the share of each set's best: a row per beta, a column per gamma, per cent."""
    share = 100 * frame["value"] / frame.groupby("dataset")["value"].transform("max")
    return frame.assign(share=share).pivot_table(index="beta", columns="gamma", values="share")


def kept_along_beta(kept_by_vfm: Mapping[str, Mapping[str, pd.Series]], note: str) -> BookFigure:
    """Share of the similarity matrix that each beta keeps, in per cent, by set; a panel for each VFM."""
    panels, alts, seen = [], [], []
    for name, kept in _labelled(kept_by_vfm).items():
        panels.append(lines(kept, "shift β", "kept entries, %", _title(name, "what the mask leaves"),
                            band=paper.BETA_RANGE, band_text=RANGE, mark=paper.DEFAULT_BETA))
        alts.append("; ".join(f"{data}: {curve.iloc[0]:.0f} % at beta {curve.index[0]:g}, {curve.iloc[-1]:.0f} % at "
                              f"{curve.index[-1]:g}" for data, curve in kept.items()) + ".")
        at = [curve.loc[paper.DEFAULT_BETA] for curve in kept.values() if paper.DEFAULT_BETA in curve.index]
        if at:
            seen.append(_title(name, f"at the default β = {paper.DEFAULT_BETA:g} the mask keeps {min(at):.0f} to "
                               f"{max(at):.0f} % of the entries, depending on the set."))
    return show(panels, f"Share of the similarity matrix at or above the threshold, by β; {note}.", alts,
                " ".join(seen))


def _title(name: str, text: str) -> str:
    """A title or sentence that begins with a model's name, or with a capital letter."""
    return f"{name}{text}" if name else text[0].upper() + text[1:]


def explorer_link() -> ExplorerLink:
    """The explorer on *The method*, where moving beta shows which entries survive."""
    return ExplorerLink("Open the explorer and move beta: from 1.6 down to 0.8, the mask opens and the weights spread.",
                        {"scene": "context", "vfm": "tiny_sam", "rule": "adaptive", "beta": 1.6, "gamma": 3})
