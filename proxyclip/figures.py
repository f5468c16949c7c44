"""The figures of the chapters, from their records: what is drawn, captioned and told in words.

Each function takes the frame of :func:`proxyclip.results.table` and a note for the caption (VFM, profile, sample size).
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from proxyclip import paper
from proxyclip.palette import METHOD_COLOURS, VFM_COLOURS
from proxyclip.plots import Shown, distributions, dots, heat_map, lines, set_colours, show
from proxyclip.results import family_of, labels_of
from proxyclip.similarities import SimilarityStatistics

RANGE = "range in the supplement"


# ----------------------------------------------------------------------------------------------------------- chapter A


def along_time(values: pd.Series, note: str) -> Shown:
    """mIoU of the adaptive rule along the time step of the diffusion process."""
    family = "Stable Diffusion"
    picture = lines({family: values}, VFM_COLOURS, "time step", "mIoU, %", "More noise", mark=0.0)
    return show([picture], f"mIoU along the time step; grey: the step of the supplement; {note}.",
                f"mIoU {', '.join(f'{value:.1f} at step {step}' for step, value in values.items())}.")


# ----------------------------------------------------------------------------------------------------------- chapter B


def factor_sweeps(frame: pd.DataFrame, note: str) -> Shown | None:
    """mIoU along beta at the default gamma and along gamma at the default beta; None where neither was run."""
    colours = set_colours(list(dict.fromkeys(frame["dataset"])))
    panels, told = [], []
    for along, axis, fixed, fixed_axis, value, band, mark in (
        ("beta", r"shift $\beta$", "gamma", r"$\gamma$", paper.DEFAULT_GAMMA, paper.BETA_RANGE, paper.DEFAULT_BETA),
        ("gamma", r"scale $\gamma$", "beta", r"$\beta$", paper.DEFAULT_BETA, paper.GAMMA_RANGE, paper.DEFAULT_GAMMA),
    ):
        rows = frame[(frame["metric"] == "miou") & (frame[fixed] == value)].sort_values(along)
        curves = {name: part.set_index(along)["value"] for name, part in rows.groupby("dataset", sort=False)}
        if curves:
            title = f"Along {axis.split()[-1]}, {fixed_axis} = {value:g}"
            panels.append(lines(curves, colours, axis, "mIoU, %", title, band=band, band_text=RANGE, mark=mark))
            told.append("; ".join(f"{name}: best {along} {curve.idxmax():g}" for name, curve in curves.items()) + ".")
    return show(panels, f"mIoU along each factor; {note}.", told) if panels else None


def factor_grid(frame: pd.DataFrame, note: str) -> Shown:
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


def kept_along_beta(kept: Mapping[str, pd.Series], note: str) -> Shown:
    """Share of the similarity matrix that each beta keeps, in per cent, by set."""
    picture = lines(kept, set_colours(list(kept)), r"shift $\beta$", "kept entries, %", "What the mask leaves",
                    band=paper.BETA_RANGE, band_text=RANGE, mark=paper.DEFAULT_BETA)
    told = (f"{name}: {curve.iloc[0]:.0f} % at beta {curve.index[0]:g}, {curve.iloc[-1]:.0f} % at {curve.index[-1]:g}"
            for name, curve in kept.items())
    return show([picture], f"Share of the similarity matrix at or above the threshold, by beta; {note}.",
                "; ".join(told) + ".")


# ----------------------------------------------------------------------------------------------------------- chapter D


def along_alpha(frame: pd.DataFrame, note: str) -> Shown:
    """A panel per VFM: mIoU along alpha, the adaptive rule dashed, the paper's values thin and grey."""
    frame = frame[frame["metric"] == "miou"]
    adaptive = frame[frame["beta"].notna()].groupby("label")["value"].mean()
    panels, told = [], []
    for (label, family), part in frame[frame["alpha"].notna()].groupby(["label", "family"], sort=False):
        curve = part.groupby("alpha")["value"].mean()
        printed = pd.Series(paper.TABLE_2.get(family, ())[:-1], dtype=float)
        printed.index = pd.Index(paper.TABLE_2_ALPHAS[: len(printed)])
        panels.append(lines({label: curve}, {label: VFM_COLOURS[family]}, r"threshold $\alpha$", "mIoU, %", label,
                            paper={} if printed.empty else {"paper": printed}, levels={label: adaptive[label]}))
        told.append(f"{label}: best {curve.max():.1f} at alpha {curve.idxmax():g}, adaptive {adaptive[label]:.1f}.")
    return show(panels, f"mIoU along the threshold; adaptive rule dashed, the paper's values grey; {note}.", told)


def similarity_distributions(statistics: Mapping[str, SimilarityStatistics], note: str) -> Shown:
    """Distribution of the cosines of each VFM (by registry name), with median and mean adaptive threshold."""
    label = labels_of(statistics)
    colours = {label[vfm]: VFM_COLOURS[family_of(vfm)] for vfm in statistics}
    medians = {label[vfm]: found.median for vfm, found in statistics.items()}
    thresholds = {label[vfm]: paper.DEFAULT_BETA * found.mean for vfm, found in statistics.items()}
    picture = distributions({label[vfm]: found.histogram() for vfm, found in statistics.items()}, colours,
                            "cosine of two patches", "Similarities", medians=medians, thresholds=thresholds)
    told = (f"{name}: median {medians[name]:.2f}, threshold {thresholds[name]:.2f}" for name in medians)
    caption = ("Similarities of patches of one window: median solid, mean adaptive threshold dashed; heights are "
               f"square roots of the counts; {note}.")
    return show([picture], caption, "; ".join(told) + ".")


# ----------------------------------------------------------------------------------------------------------- chapter E


def by_set(measured: pd.DataFrame, printed: pd.DataFrame, title: str, note: str) -> Shown:
    """A dot per method on each set, the paper's value of the same cell as a thin grey tick.

    Parameters
    ----------
    measured, printed : DataFrame
        A row per set, a column per method; ``printed`` may lack some of both.
    """
    printed = printed.reindex(index=measured.index, columns=measured.columns)
    best = measured.idxmax(axis=1)
    told = (f"{name}: {best[name]} highest with {measured.loc[name].max():.1f}" for name in measured.index)
    return show([dots(measured, METHOD_COLOURS, "mIoU, %", title, paper=printed)],
                f"mIoU by method and set; grey ticks: the paper's values on the set that is stood in for; {note}.",
                "; ".join(told) + ".")


# ----------------------------------------------------------------------------------------------------------- chapter F


def growth_curves(growth: pd.DataFrame, note: str) -> Shown:
    """Scores along the number of classes: mIoU over all of them, and correct pixels of those of the first step."""
    panels, told = [], []
    for column, title, axis in (("all", "All classes so far", "mIoU, %"),
                                ("first", "The first classes only", "correct pixels, mean of classes, %")):
        curves = {method: part.set_index("classes")[column] for method, part in growth.groupby("method", sort=False)}
        panels.append(lines(curves, METHOD_COLOURS, "classes in the vocabulary", axis, title))
        told.append("; ".join(f"{method}: {curve.iloc[0]:.1f} with {curve.index[0]} classes, {curve.iloc[-1]:.1f} with "
                              f"{curve.index[-1]}" for method, curve in curves.items()) + ".")
    return show(panels, f"Scores as classes are added; {note}.", told)


# ----------------------------------------------------------------------------------------------------------- chapter G


def by_score(measured: Mapping[str, pd.DataFrame], caption: str) -> Shown:
    """A panel per score: a row per set, a dot per method.

    Parameters
    ----------
    measured : mapping of a score's name to DataFrame
        In per cent; a row per set, a column per method.
    caption : str
    """
    panels = [dots(frame, METHOD_COLOURS, "%", score) for score, frame in measured.items()]
    told = (
        f"{score}. " + "; ".join(f"{name}: " + ", ".join(f"{method} {value:.0f}" for method, value in row.items())
                                 for name, row in frame.iterrows()) + "."
        for score, frame in measured.items())
    return show(panels, caption, tuple(told))
