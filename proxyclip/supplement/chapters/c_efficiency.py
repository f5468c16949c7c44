"""Chapter C: what explains the counts, how they grow with the image, and what accuracy they buy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from proxyclip import efficiency
from proxyclip.efficiency import TABLE1
from proxyclip.rules import GEM, Adaptive, MaskCLIP, MaskingRule
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import pivot
from proxyclip.supplement.claims.cost import patch_size
from proxyclip.supplement.defaults import RESULT_FOLDERS
from proxyclip.supplement.display_names import family_of, method_of
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.figures.plots import lines, scatter
from proxyclip.supplement.records import Result

#: Columns of Table 1: metric of a record -> column of :func:`proxyclip.efficiency.table1` and heading.
COLUMNS = {
    "params": ("params_m", "Params (M)"), "speed": ("ips", "Speed (IPS)"),
    "memory": ("memory_mib", "Memory (MiB)"), "flops": ("flops_g", "FLOPs (G)"),
}  # fmt: skip

#: What the benchmarks of ``benchmarks/`` print, by the key of their ratio.
RATIOS = {"times as fast": "{:.1f} times as fast", "share of the plain memory": "{:.1%} of the memory"}


def printed() -> pd.DataFrame:
    """Table 1 as the paper prints it, under the column names of :func:`proxyclip.efficiency.table1`."""
    names = [COLUMNS[metric][0] for metric, _ in paper.TABLE_1_COLUMNS]
    return pd.DataFrame.from_dict(paper.TABLE_1, orient="index", columns=names)


def skipped_work(model: ProxyCLIP, method: str, size: int = 336) -> dict[str, float]:
    """Work of CLIP's last block, in G, whose result is not used and which this package leaves out, by reason.

    A straightforward implementation runs the block's whole attention and then replaces its output. The result is the
    same, and the count is the one that the paper prints.

    Parameters
    ----------
    model : ProxyCLIP
        On the meta device or any other.
    method : str
        A row of Table 1.
    size : int
        Of the image, pixels.

    Returns
    -------
    dict
        ``queries and keys``: their projections. ``attention``: the two products of an attention that is not used.
        ``projection``: projecting out after averaging, on the vision model's grid, instead of before it on CLIP's.
        ``averaging``: the values of the vision model's grid, instead of the weights with which CLIP's patches enter; of
        GEM the values under q, k and v one after the other, instead of once under the mean of their attentions.
    """
    rule, width = TABLE1[method].rule, model.clip.model.visual.conv1.out_channels
    patches = (size // model.clip.patch_size) ** 2
    work = {"queries and keys": 0.0, "attention": 0.0, "projection": 0.0, "averaging": 0.0}
    if isinstance(rule, MaskCLIP | MaskingRule):
        work["queries and keys"] = 2 * (patches + 1) * width**2 / 1e9
    if isinstance(rule, MaskCLIP):
        work["attention"] = 2 * (patches + 1) ** 2 * width / 1e9
    if isinstance(rule, GEM):
        work["averaging"] = 2 * rule.depth * (patches + 1) ** 2 * width / 1e9
    if isinstance(rule, MaskingRule):
        fine = (size // model.vfm.patch_size) ** 2
        work["projection"] = (fine - patches) * width**2 / 1e9
        if fine != patches and patches < width:
            work["averaging"] = (fine**2 * width - fine**2 * patches - fine * patches * width) / 1e9
    return work


def explained() -> pd.DataFrame:
    """The counts of Table 1, step by step from this package's to the paper's.

    Returns
    -------
    pandas.DataFrame
        A row per method, in G: what is counted here, the work that is left out (:func:`skipped_work`), their sum, the
        paper's number, and the difference of the two in per cent.
    """
    rows = {}
    for method, model in efficiency.shapes().items():
        counted = efficiency.macs_of_row(method, 336) / 1e9
        skipped = skipped_work(model, method)
        total = counted + sum(skipped.values())
        stated = printed().loc[method, "flops_g"]
        rows[method] = {"counted here": counted, **{f"+ {reason}": value for reason, value in skipped.items()},
                        "sum": total, "paper": stated, "difference, %": 100 * (total / stated - 1)}
    return pd.DataFrame.from_dict(rows, orient="index")


def along_size(sizes: Sequence[int], methods: Sequence[str]) -> pd.DataFrame:
    """Multiply-accumulates per image, in G, of square images of these sides.

    Returns
    -------
    pandas.DataFrame
        A row per side in pixels, a column per method.
    """
    counts = {method: [efficiency.macs_of_row(method, size) / 1e9 for size in sizes] for method in methods}
    return pd.DataFrame(counts, index=list(sizes))


def name_with_patch(model: ProxyCLIP) -> str:
    """Name of ProxyCLIP's row for a model: ``ProxyCLIP (tiny DINO/8)``."""
    vfm = model.vfm
    family = ("tiny " if vfm.spec.source == "tiny" else "") + family_of(vfm.name)
    size = next((f"-{letter.upper()}" for letter in "sblh" if f"vit{letter}" in vfm.name), "")
    return f"ProxyCLIP ({family}{size}/{vfm.patch_size})"


def saved_benchmarks(folders: Sequence[str | Path] = RESULT_FOLDERS) -> pd.DataFrame | None:
    """What ``benchmarks/`` measured, from ``<folder>/<device>/benchmarks.json``; None if nothing is saved.

    Returns
    -------
    pandas.DataFrame or None
        A row per comparison and device: plain, package and ratio, in words.
    """
    rows: list[dict[str, str]] = []
    for path in sorted(found for folder in folders for found in Path(folder).glob("*/benchmarks.json")):
        for name, values in json.loads(path.read_text()).items():
            rows += _comparison(name, path.parent.name, values)
    return pd.DataFrame(rows).set_index("what") if rows else None


def _comparison(name: str, device: str, values: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for key, digits, ratio in (("seconds per image", 2, "times as fast"), ("seconds per query", 2, "times as fast"),
                               ("MiB", 0, "share of the plain memory"), ("seconds", 2, "times as fast")):
        if key not in values:
            continue
        for way in (way for way in values[key] if way != "package"):
            shown = values[ratio][way] if isinstance(values[ratio], dict) else values[ratio]
            rows.append({"what": f"{name}, {key}", "device": device, "compared with": way,
                         "plain": f"{values[key][way]:.{digits}f}", "package": f"{values[key]['package']:.{digits}f}",
                         "package is": RATIOS[ratio].format(shown)})
    return rows


# ------------------------------------------------------------------------------------------------------------- figures


def beside_others(own: pd.DataFrame, others: Mapping[str, Result], here: str) -> pd.DataFrame:
    """Speed and memory of Table 1 by machine: the paper's, this one, and those of saved results.

    Parameters
    ----------
    own : DataFrame
        Of :func:`proxyclip.efficiency.table1`.
    others : mapping of a run's name to its result
    here : str
        Heading of this machine.
    """
    parts = {}
    for metric, unit in (("speed", "IPS"), ("memory", "MiB")):
        column = COLUMNS[metric][0]
        parts[f"paper, {unit}"] = printed()[column]
        parts[f"{here}, {unit}"] = own[column]
        for name, result in others.items():
            values = {record.method: record.value for record in result.records
                      if record.metric == metric and record.profile == "architecture"}
            if values:
                parts[f"{name}, {unit}"] = pd.Series(values)
    return pd.DataFrame(parts).reindex(own.index)


def size_figure(counts: pd.DataFrame) -> BookFigure:
    """Multiply-accumulates along the side of the image."""
    named = {name.removeprefix("ProxyCLIP ").strip("()"): counts[name] for name in counts}
    picture = lines(named, "side of the image, pixels (logarithmic)", "G per image (logarithmic)",
                    "Cost along the input size", logarithmic=True, height=320)
    first, last = counts.index[0], counts.index[-1]
    alt_text = (f"{name}: {counts.loc[first, name]:.0f} G at {first} pixels, {counts.loc[last, name]:.0f} G at {last}"
            for name in counts)
    grown = {name: counts.loc[last, name] / counts.loc[first, name] for name in counts}
    listed = ", ".join(f"{factor:.0f} times for {name}" for name, factor in grown.items())
    seen = (f"From {first} to {last} pixels the number of patches grows {(last / first) ** 2:.0f} times; the cost "
            f"grows {listed}.")
    return show([picture], "Multiply-accumulates per image, one window of the whole image; counted on full-size models "
                           "without weights (profile architecture).", "; ".join(alt_text) + ".", seen)


def accuracy_table(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Values and standard errors of what each model scores and costs: a row per model; costs have no error."""
    scored = frame[(frame["metric"] == "miou") & (frame["dataset"] != "")]
    model = scored["method"].str.removeprefix("ProxyCLIP (").str.removesuffix(")")
    scored = scored.assign(model=model, column=scored["rule"].map(method_of))
    values, errors = (pivot(scored, "model", "column", part) for part in ("value", "error"))
    cost = frame[(frame["metric"] == "flops") & (frame["rule"] == Adaptive().name)].groupby("vfm")["value"].mean()
    cost = scored.drop_duplicates("model").set_index("model")["vfm"].map(cost)
    return values.assign(**{"G per window": cost.map("{:.2f}".format)}), errors


def _what_a_larger_patch_does(rows: pd.DataFrame) -> str:
    """Cost and accuracy of the largest patch of DINO as shares of those of the smallest, in a sentence."""
    patches = {name: patch_size(name) for name in rows.index if family_of(rows.loc[name, "vfm"]) == "DINO"}
    if len(set(patches.values())) < 2:
        return ""
    fine, coarse = (find(patches, key=patches.__getitem__) for find in (min, max))
    cost, accuracy = (100 * rows.loc[coarse, what] / rows.loc[fine, what] for what in ("flops", "miou"))
    return (f" DINO's patch of {patches[coarse]} instead of {patches[fine]} pixels leaves {cost:.0f} % of the cost and "
            f"{accuracy:.0f} % of the mIoU.")


def accuracy_figure(rows: pd.DataFrame, note: str) -> BookFigure:
    """Accuracy against cost: a dot per vision foundation model.

    Parameters
    ----------
    rows : DataFrame
        Index: method; columns flops (G per window), miou (%) and vfm.
    """
    label = [name.removeprefix("ProxyCLIP (").rstrip(")") for name in rows.index]
    picture = scatter(rows.assign(label=label).set_index("vfm"), "flops", "miou", "G per window (logarithmic)",
                      "mIoU, %", "Accuracy against cost")
    alt_text = (f"{method}: {row['miou']:.1f} % at {row['flops']:.3g} G" for method, row in rows.iterrows())
    best, cheapest = rows["miou"].astype(float).idxmax(), rows["flops"].astype(float).idxmin()
    seen = (f"The highest score is that of {best} ({rows.loc[best, 'miou']:.1f} % for {rows.loc[best, 'flops']:.2g} "
            f"G); the cheapest model is {cheapest} ({rows.loc[cheapest, 'miou']:.1f} % for "
            f"{rows.loc[cheapest, 'flops']:.2g} G).{_what_a_larger_patch_does(rows)}")
    return show([picture], f"mIoU against multiply-accumulates of one window; {note}.", "; ".join(alt_text) + ".", seen)
