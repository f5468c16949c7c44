"""The page *Obstacles*: what the supplement does not say, how it was settled here, and how far it moves a number."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from book.pages.ledger_page import own_results, readings, readouts
from book.pages.rendering import render
from proxyclip.supplement import paper
from proxyclip.supplement.records import Result

#: Every point that the text leaves open.
OBSTACLES = Path(__file__).resolve().parents[1] / "obstacles.toml"


def readings_cost(results: Mapping[str, Result]) -> float | None:
    """The largest difference in average mIoU between two readings of section E, in points."""
    if "E" not in results:
        return None
    frame = readings(results["E"])
    return float((frame.max(axis=1) - frame.min(axis=1)).max()) if len(frame) else None


def readouts_cost(results: Mapping[str, Result]) -> float | None:
    """The largest difference that residual connection and MLP make to a baseline of chapter F, in points of mIoU."""
    if "F" not in results:
        return None
    both = readouts(results["F"]).pivot_table(index=["method", "dataset"], columns="setting", values="value").dropna()
    return float((both[paper.FREE] - both[paper.BARE]).abs().max()) if len(both) else None


def fragment(data: Path) -> Markup:
    """The table, the largest change first, from the records of the chapters and ``diagnosis.json`` in ``data``."""
    saved = data / "diagnosis.json"
    diagnosis: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8")) if saved.is_file() else {}
    costs = {row["setting"]: abs(row["cost"]) for row in diagnosis.get("settings", [])}
    results = own_results(data)
    costs |= {"readings": readings_cost(results), "readouts": readouts_cost(results)}
    where = {"readings": "chapter E", "readouts": "chapter F, the method that changes most"}
    rows = [(one, costs.get(one.get("measured")), where.get(one.get("measured"), "tiny diagnosis"))
            for one in tomllib.loads(OBSTACLES.read_text(encoding="utf-8"))["obstacle"]]
    rows.sort(key=lambda row: -1.0 if row[1] is None else row[1], reverse=True)
    return render("obstacles", rows=rows)
