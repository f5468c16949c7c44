"""The numbers and tables of the pages about the tiny world: ``{{ tiny... }}`` in their text, from the JSON files."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from proxyclip.supplement.claims.claim import enumerated
from proxyclip.supplement.paper import TABLE_2, TABLE_2_ALPHAS
from proxyclip.tiny import models
from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, STUFF, THINGS
from proxyclip.tiny.world.sets import SETS
from training.measures import findings, requirements
from training.measures.study import frame_of

#: Columns behind the first that fit a page.
COLUMNS = 5


def measurements(folder: Path = models.WEIGHTS) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """``scores.json``, ``study.json`` and ``floors.json``.

    A ``ValueError`` refuses one that was measured on other weights than the folder's.
    """
    found, here = [], models.digests(folder)
    for name, module in (("scores", "score"), ("study", "study"), ("floors", "floors")):
        record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        weights = record.get("weights") or record["settings"]["weights"]
        if other := sorted(model for model in weights if here.get(model) != weights[model]):
            raise ValueError(f"{name}.json was measured on other weights of {', '.join(other)}; "
                             f"run python -m training.measures.{module} again")
        found.append(record)
    return found[0], found[1], found[2]


def cards() -> dict[str, dict[str, Any]]:
    """Cards of the shipped models by name, with the size of their weights as ``bytes``."""
    sizes = json.loads(models.MANIFEST.read_text(encoding="utf-8"))
    return {name: {**json.loads((models.WEIGHTS / f"{name}.json").read_text(encoding="utf-8")),
                   "bytes": sizes[name]["bytes"]} for name in models.MODELS if name in sizes}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, in parts of a few columns where it has many."""
    rows, parts = list(rows), -(-(len(head) - 1) // COLUMNS)
    width = -(-(len(head) - 1) // parts)
    tables = []
    for first in range(1, len(head), width):
        chosen = [[row[0], *row[first : first + width]] for row in (head, ["---"] * len(head), *rows)]
        tables.append("\n".join("| " + " | ".join(cells) + " |" for cells in chosen))
    return "\n\n".join(tables)


def listed(names: Iterable[str]) -> str:
    """"`a`, `b` and `c`", or "none"."""
    return enumerated(f"`{name}`" for name in names)


def _signed(value: float, spread: float) -> str:
    return f"{value:+.1f}" if pd.isna(spread) else f"{value:+.1f} ±\u00a0{spread:.1f}"


def values() -> dict[str, Any]:
    """Everything that the pages insert, by name."""
    (scores, study, floors), known = measurements(), cards()
    frame, swept = pd.DataFrame(scores["miou"]), frame_of(study)
    return {**_world(), **_training(known), **_scores(scores, frame), **_order(frame), **_controls(frame),
            **_sweeps(swept), **_geometries(floors, known), **_requirements(floors),
            "study_scenes": study["settings"]["scenes"],
            "study_seeds": ", ".join(map(str, sorted(set(swept["seed"])))), "study_sets": listed(swept["set"].unique())}


def _world() -> dict[str, Any]:
    rows = [(f"`{name}`", row.stands_for, str(len(row.classes)), f"{row.size[0]} x {row.size[1]}",
             "none" if row.prob_threshold is None else f"{row.prob_threshold:g}") for name, row in SETS.items()]
    return {"stuff": len(STUFF), "things": len(THINGS), "colours": len(COLOURS), "patterns": len(PATTERNS),
            "sets_table": markdown(("set", "stands for", "classes", "pixels", "threshold"), rows)}


def _training(known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    minutes = [card["wall_minutes"] for card in known.values()]
    geometry = {name: card["geometry"] for name, card in known.items() if card.get("geometry")}
    return {
        "minutes_least": f"{min(minutes):.0f}", "minutes_most": f"{max(minutes):.0f}",
        "pooled": f"{100 * known['tiny_clip'].get('attention_only', 0):g}",
        "learns_table": markdown(("model", "family", "learns from"), [
            (f"`{name}`", card["family"], card["objective"]) for name, card in known.items()]),
        "cost_table": markdown(("model", "steps", "samples", "minutes", "MiB"), [
            (f"`{name}`", f"{card['steps']:,}", f"{card['samples']:,}", f"{card['wall_minutes']:g}",
             f"{card['bytes'] / 2**20:.1f}") for name, card in known.items()]),
        "geometry_table": markdown(("model", "mean cosine", "entries kept", "rows alone", "AUC"), [
            (f"`{name}`", f"{of['mean']:.2f}", f"{100 * of['kept']:.0f} %", f"{100 * of['alone']:.2f} %",
             f"{of['auc']:.2f}") for name, of in geometry.items()]),
        "notes": "\n".join(f"- `{name}`: {card['notes']}" for name, card in known.items() if card.get("notes")),
    }


def _scores(scores: dict[str, Any], frame: pd.DataFrame) -> dict[str, Any]:
    grouped, precision = findings.by_method(frame), scores["average_precision"]
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    average = mean.mean(axis=1).sort_values()
    return {
        "seeds": ", ".join(map(str, scores["seeds"])), "scenes": scores["scenes"],
        "precision_scenes": scores["precision_scenes"],
        "ap_stuff": f"{np.mean([precision[name] for name in STUFF]):.1f}",
        "ap_things": f"{np.mean([precision[name] for name in THINGS]):.1f}",
        "ap_classes": " · ".join(f"{name} {precision[name]:.0f}" for name in CLASSES),
        "captioned": f"{scores['longtail']['captioned']:.1f}", "held_out": f"{scores['longtail']['held_out']:.1f}",
        "mean": {name.strip("`").removeprefix("proxy `"): f"{value:.1f}" for name, value in average.items()},
        "averages_table": markdown(("method", "mean of the sets, mIoU in %"),
                                   [(name, f"{value:.1f}") for name, value in average[::-1].items()]),
        "scores_table": markdown(("method", *(f"`{name}`" for name in mean), "average"), [
            (name, *(f"{mean.loc[name, one]:.1f} ±\u00a0{spread.loc[name, one]:.1f}" for one in mean),
             f"{average[name]:.1f}") for name in average.index]),
    }


def _order(frame: pd.DataFrame) -> dict[str, Any]:
    found = findings.order(frame)
    methods = {"vanilla": "CLIP", "qk": "q-k", "qq": "q-q", "kk": "k-k", "proxy": "proxy"}
    sets = found.drop("average")
    return {"order_table": markdown(("set", *methods.values()), [
                (name, *(f"{row[method]:.1f}" for method in methods)) for name, row in found.iterrows()]),
            "order_sets": len(sets), "order_holds": int((sets["step"] > 0).sum()),
            "order_broken": listed(sets.index[sets["step"] <= 0]), "proxy": f"`{findings.DEFAULT_VFM}`",
            "qk_behind": listed(sets.index[sets["qk"] <= sets["vanilla"]])}


def _controls(frame: pd.DataFrame) -> dict[str, Any]:
    ahead, alone = findings.controls(frame), findings.identities(frame)
    sets = ahead.drop(columns="average")
    return {
        "identity_table": markdown(("VFM", "identity", "adaptive", "gain"), [
            (f"`{name}`", f"{row.identity:.1f}", f"{row.adaptive:.1f}", _signed(row.gain, row.spread))
            for name, row in alone.iterrows()]),
        "controls_table": markdown(("VFM", "average", "smallest", "sets ahead"), [
            (f"`{name}`", f"{ahead.loc[name, 'average']:+.1f}", f"{row.min():+.1f} (`{row.idxmin()}`)",
             f"{int((row > 0).sum())} of {len(row)}") for name, row in sets.iterrows()]),
        "behind_controls": listed(ahead.index[ahead["average"] <= 0]),
    }


def _sweeps(study: pd.DataFrame) -> dict[str, Any]:
    grid, masks = findings.plateau(study), findings.hard_masks(study)
    printed = findings.hard_masks(study, highest=max(TABLE_2_ALPHAS))
    default = grid[grid["proxy"] == findings.DEFAULT_VFM].set_index("set")
    return {
        "plateau_table": markdown(("VFM", *(f"`{name}`" for name in grid["set"].unique())), [
            (f"`{proxy}`", *(f"{row.gap:.1f} ({row.beta:g},\u00a0{row.gamma:g})" for row in part.itertuples()))
            for proxy, part in grid.groupby("proxy", sort=False)]),
        "best_points": "; ".join(f"({row.best_beta:g}, {row.best_gamma:g}) on `{name}`"
                                 for name, row in default.iterrows()),
        "masks_table": markdown(("VFM", "best alpha", "with it", "adaptive", "difference"), [
            (f"`{proxy}`", f"{row.alpha:g}", f"{row.hard:.1f}", f"{row.adaptive:.1f}",
             _signed(row.difference, row.spread)) for proxy, row in masks.iterrows()]),
        "adaptive_ahead": listed(masks.index[masks["difference"] > 0]), "alpha_most": f"{max(TABLE_2_ALPHAS):g}",
        "adaptive_ahead_printed": listed(printed.index[printed["difference"] > 0]),
    }


def _geometries(floors: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    real = {"DINOv2 ViT-S/14, photographs": requirements.REAL_DINOV2}
    after = requirements.Run(floors, "after")
    reached = {f"`{vfm}`": after.fingerprint(vfm) for vfm in requirements.VFMS}
    return {
        "targets_table": markdown(("model", "target", "its source"), [
            (f"`{name}`", _target(target), target["source"])
            for name, card in known.items() if (target := card.get("target"))]),
        "fingerprints_table": markdown(("model", "mean", "quantiles (5 to 95 %)", "% below 0, .2, .4, .6, .8"), [
            (name, f"{of['mean']:.2f}", " ".join(f"{value:+.2f}" for value in of["quantiles"]),
             " ".join(f"{value:.0f}" for value in of["below"])) for name, of in (reached | real).items()]),
        "floor_seeds": ", ".join(map(str, floors["seeds"])), "floor_scenes": floors["scenes"],
    }


def _target(target: dict[str, Any]) -> str:
    if not (histogram := target.get("histogram")):
        return f"base {target['base']:g}, individual part {target['individual']:g}"
    return "histogram: " + ", ".join(f"{100 * share:g} % below {cosine:g}" for share, cosine in histogram if share)


def _requirements(floors: dict[str, Any]) -> dict[str, Any]:
    found, runs = requirements.judged(floors), requirements.RUNS
    rows: list[tuple[str, ...]] = []
    for family, vfm in requirements.FAMILIES.items():
        for run in runs:
            of = requirements.Run(floors, run)
            figures = [f"{value:.1f}" for value in of.rows_of_table_2().loc[family]]
            rows.append((f"`{vfm}` {run}", *figures, f"{of.correlations()[family]:.2f}"))
        rows.append((f"{family} as printed", *(f"{value:.1f}" for value in TABLE_2[family]), ""))
    return {
        "requirements_count": len(found), "missed_count": sum(not one.reached["after"] for one in found),
        "requirements_table": markdown(("requirement", *runs), [
            (one.asked, *(f"{'yes' if one.reached[run] else '**no**'}: {one.measured[run]}" for run in runs))
            for one in found]),
        "rows_table": markdown(("", *map(str, requirements.ALPHAS), "adaptive", "correlation"), rows),
    }
