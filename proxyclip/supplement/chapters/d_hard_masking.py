"""Chapter D: a fixed threshold against the adaptive one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from proxyclip.supplement import paper
from proxyclip.supplement.chapters.similarities import SimilarityStatistics
from proxyclip.supplement.display_names import family_of, labels_of
from proxyclip.supplement.figures.palette import VFM_COLOURS
from proxyclip.supplement.figures.plots import BookFigure, distributions, lines, show

#: The grid as printed, and what we add: several models have their best threshold above 0.8.
PRINTED_ALPHAS = paper.TABLE_2_ALPHAS
OURS = "ours: "


def as_table_2(frame: pd.DataFrame) -> pd.DataFrame:
    """mIoU in the form of Table 2: a row per VFM, a column per alpha, then the adaptive rule and the identity.

    Columns of thresholds that the supplement does not print are marked as ours.
    """
    frame = frame[(frame["metric"] == "miou") & frame["rule"].map(_column).notna()]
    frame = frame.assign(column=frame["rule"].map(_column))
    wide = frame.pivot_table(index="label", columns="column", values="value", sort=False)
    alphas = sorted((name for name in wide if "α" in name), key=lambda name: float(name.rpartition(" ")[2]))
    printed = [name for name in alphas if not name.startswith(OURS)]
    rest = [name for name in ("adaptive", f"{OURS}identity") if name in wide]
    return wide[[*printed, *rest[:1], *(name for name in alphas if name.startswith(OURS)), *rest[1:]]]


def _column(rule: str) -> str | None:
    kind, _, number = rule.partition(":")
    if kind == "hard":
        alpha = float(number)
        return f"{'' if alpha in PRINTED_ALPHAS or alpha < PRINTED_ALPHAS[-1] else OURS}α = {alpha:g}"
    return {"adaptive": "adaptive", "identity": f"{OURS}identity"}.get(kind)


def along_alpha(frame: pd.DataFrame, note: str) -> BookFigure:
    """A panel per VFM: mIoU along alpha, the adaptive rule dashed, the paper's values thin and grey."""
    frame = frame[frame["metric"] == "miou"]
    adaptive = frame[frame["beta"].notna()].groupby("label")["value"].mean()
    panels, alt_text = [], []
    for (label, family), part in frame[frame["alpha"].notna()].groupby(["label", "family"], sort=False):
        curve = part.groupby("alpha")["value"].mean()
        printed = pd.Series(paper.TABLE_2.get(family, ())[:-1], dtype=float)
        printed.index = pd.Index(paper.TABLE_2_ALPHAS[: len(printed)])
        panels.append(lines({label: curve}, {label: VFM_COLOURS[family]}, r"threshold $\alpha$", "mIoU, %", label,
                            paper={} if printed.empty else {"paper": printed}, levels={label: adaptive[label]}))
        alt_text.append(f"{label}: best {curve.max():.1f} at alpha {curve.idxmax():g}, adaptive {adaptive[label]:.1f}.")
    return show(panels, f"mIoU along the threshold; adaptive rule dashed, the paper's values grey; {note}.", alt_text)


def similarity_distributions(statistics: Mapping[str, SimilarityStatistics], note: str) -> BookFigure:
    """Distribution of the cosines of each VFM (by registry name), with median and mean adaptive threshold."""
    label = labels_of(statistics)
    colours = {label[vfm]: VFM_COLOURS[family_of(vfm)] for vfm in statistics}
    medians = {label[vfm]: found.median for vfm, found in statistics.items()}
    thresholds = {label[vfm]: paper.DEFAULT_BETA * found.mean for vfm, found in statistics.items()}
    picture = distributions({label[vfm]: found.histogram() for vfm, found in statistics.items()}, colours,
                            "cosine of two patches", "Similarities", medians=medians, thresholds=thresholds)
    alt_text = (f"{name}: median {medians[name]:.2f}, threshold {thresholds[name]:.2f}" for name in medians)
    caption = ("Similarities of patches of one window: median solid, mean adaptive threshold dashed; heights are "
               f"square roots of the counts; {note}.")
    return show([picture], caption, "; ".join(alt_text) + ".")
