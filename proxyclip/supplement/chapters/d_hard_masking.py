"""Chapter D: a fixed threshold against the adaptive one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from proxyclip.explorer.document import ExplorerLink
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import pivot
from proxyclip.supplement.display_names import labels_of
from proxyclip.supplement.figures.histograms import distributions
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.figures.plots import lines
from proxyclip.supplement.measures.real_photographs import LABEL
from proxyclip.supplement.measures.similarities import SimilarityStatistics

#: Mark of the columns that Table 2 does not print: several models have their best threshold above its last one, 0.8.
OURS = "ours: "


def as_table_2(frame: pd.DataFrame, values: str = "value") -> pd.DataFrame:
    """mIoU in the form of Table 2: a row per VFM, a column per alpha, then the adaptive rule and the identity.

    Columns of thresholds that the supplement does not print are marked as ours.
    """
    frame = frame[frame["metric"] == "miou"]
    wide = pivot(frame.assign(column=frame["rule"].map(_column)).dropna(subset="column"), "label", "column", values)
    alphas = sorted((name for name in wide if "α" in name), key=lambda name: float(name.rpartition(" ")[2]))
    printed = [name for name in alphas if not name.startswith(OURS)]
    rest = [name for name in ("adaptive", f"{OURS}identity") if name in wide]
    return wide[[*printed, *rest[:1], *(name for name in alphas if name.startswith(OURS)), *rest[1:]]]


def _column(rule: str) -> str | None:
    kind, _, number = rule.partition(":")
    if kind == "hard":
        return f"{'' if float(number) <= paper.TABLE_2_ALPHAS[-1] else OURS}α = {float(number):g}"
    return {"adaptive": "adaptive", "identity": f"{OURS}identity"}.get(kind)


def along_alpha(frame: pd.DataFrame, note: str) -> BookFigure:
    """mIoU along alpha with the adaptive rule behind it: measured, and in a panel of its own the paper's Table 2."""
    frame = frame[frame["metric"] == "miou"]
    adaptive = frame[frame["beta"].notna()].groupby("label", sort=False)["value"].mean()
    curves = {label: part.groupby("alpha")["value"].mean()
              for label, part in frame[frame["alpha"].notna()].groupby("label", sort=False)}
    printed = {family: pd.Series(row[:-1], index=paper.TABLE_2_ALPHAS) for family, row in paper.TABLE_2.items()}
    printed_adaptive = {family: row[-1] for family, row in paper.TABLE_2.items()}
    panels, alts = [], []
    for found, ends, title in ((curves, dict(adaptive), "Measured"),
                               (printed, printed_adaptive, "Printed in Table 2")):
        panels.append(lines(found, "threshold α", "mIoU, %", title, ends=ends, ends_text="adaptive", height=360))
        alts.append(" ".join(f"{label}: best {curve.max():.1f} at alpha {curve.idxmax():g}, adaptive {ends[label]:.1f}."
                             for label, curve in found.items()))
    best = {label: float(curve.idxmax()) for label, curve in curves.items()}
    close = [label for label, curve in curves.items() if adaptive[label] >= curve.max() - 1.5]
    highest = ", ".join(f"{alpha:g} ({label})" for label, alpha in best.items())
    seen = (f"The measured curves have their highest points at α = {highest}. The adaptive rule, the open marker at "
            f"the end, is within 1.5 points of its curve's highest point or above it for {len(close)} of {len(curves)} "
            f"models{': ' + ', '.join(close) if close else ''}.")
    caption = (f"mIoU along the fixed threshold, then the adaptive rule (open markers): measured on {note}, and the "
               "supplement's numbers on COCO-Stuff in a panel with axes of its own.")
    return show(panels, caption, alts, seen)


def similarity_distributions(statistics: Mapping[str, SimilarityStatistics], note: str) -> BookFigure:
    """Distribution of the cosines of each VFM (by registry name), with median and mean adaptive threshold."""
    label = labels_of(statistics)
    medians = {label[vfm]: found.median for vfm, found in statistics.items()}
    thresholds = {label[vfm]: paper.DEFAULT_BETA * found.mean for vfm, found in statistics.items()}
    picture = distributions({label[vfm]: found.histogram() for vfm, found in statistics.items()},
                            "cosine of two patches", "Similarities", medians=medians, thresholds=thresholds)
    alts = (f"{name}: median {medians[name]:.2f}, threshold {thresholds[name]:.2f}" for name in medians)
    caption = ("Similarities of patches of one window: median solid, mean adaptive threshold dashed; heights are "
               f"square roots of the counts; {note}.")
    if LABEL in statistics and LABEL not in note:
        caption += f" The {LABEL} reads photographs of scikit-image at 336 pixels; see the page On real photographs."
    beyond = [name for name, threshold in thresholds.items() if threshold >= 1]
    own = [label[vfm] for vfm in statistics if vfm != LABEL]
    low, high = (find(own, key=medians.__getitem__) for find in (min, max))
    seen = (f"The medians run from {medians[low]:.2f} ({low}) to {medians[high]:.2f} ({high}), the adaptive thresholds "
            f"from {min(map(thresholds.get, own)):.2f} to {max(map(thresholds.get, own)):.2f}."
            + (f" The {LABEL} has a median of {medians[label[LABEL]]:.2f} and a threshold of "
               f"{thresholds[label[LABEL]]:.2f}." if LABEL in statistics and own != [label[LABEL]] else "")
            + (f" For {' and '.join(beyond)} the mean threshold lies above 1, where no cosine can reach it: in such a "
               "window every patch keeps only itself." if beyond else ""))
    return show([picture], caption, "; ".join(alts) + ".", seen)


def explorer_link() -> ExplorerLink:
    """The explorer on *The method*, with one fixed threshold for every foundation model."""
    return ExplorerLink("Open the explorer with a hard mask, and switch the foundation model: one alpha cuts each of "
                        "their histograms at another place.",
                        {"scene": "context", "vfm": "tiny_mae", "rule": "hard", "alpha": 0.6})
