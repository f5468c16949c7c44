"""The page *Obstacles*: what the supplement does not say, how it was settled here, and how far it moves a number."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from book.pages.ledger_page import own_results, readings
from book.pages.rendering import render
from proxyclip.supplement import paper
from proxyclip.supplement.records import Result, table


@dataclass(frozen=True)
class Obstacle:
    """One point that the text leaves open.

    Parameters
    ----------
    what : str
        The question.
    settled : str
        What this edition does, and why.
    measured : str
        Name of a setting of the diagnosis, or of a function of this module that reads a chapter's records; empty where
        this book cannot measure it.
    """

    what: str
    settled: str
    measured: str = ""


OBSTACLES = (
    Obstacle("Does the last block keep its residual connection and MLP?",
             "ProxyCLIP leaves both out, as the paper's equations do. Re-implementations of the baselines differ, so "
             "each baseline has a parameter for it.", "readouts"),
    Obstacle("How is the similarity of section E formed?",
             "As one cosine over the full width, so that CLIP's embeddings take exactly the place of the foundation "
             "model's features. Chapter E shows the readings per head beside it.", "readings"),
    Obstacle("Below which probability is a pixel background?",
             "Each protocol card states a threshold per method. CLIP's own is lower and belongs to CLIP however its "
             "last block is read; the others get ProxyCLIP's, since none is published for them.", "threshold"),
    Obstacle("May CLIP's lower threshold be used for ProxyCLIP?", "No: a method keeps its own threshold.",
             "clip-threshold"),
    Obstacle("Which words stand for background?", "The published lists, with every synonym.", "background"),
    Obstacle("At which size are labels compared?",
             "Scores are resized to the labels' own size. Images are resized without antialiasing, as the common "
             "evaluation code does.", "antialiasing"),
    Obstacle("Are windows padded before or after the foundation model's normalisation?", "After it.", "padding"),
    Obstacle("In which precision were the numbers measured?",
             "Chapters run in float32; Table 1 names fp16, which chapter C can use on a GPU.", "float16"),
    Obstacle("Has the ninth block of Stable Diffusion's encoder 21 or 22 rows?",
             "672 pixels give 21; the 22 rows of the text follow if the input is padded to a multiple of 64, which is "
             "the default. Chapter A lists every block."),
    Obstacle("Which value marks void in ADE847 and PC459?",
             "The labels store 65535, and the published evaluation ignores 255 instead. This edition ignores 65535; "
             "the cards ade847@published and pc459@published evaluate in the other way."),
    Obstacle("Which model of each family was used, and which sets does Fig. 1 show?",
             "The ViT-B of each family, and one set of each kind. Neither is stated."),
    Obstacle("What happens to a row of the attention that no entry survives?",
             "It keeps its maximum, which is the patch itself. Each evaluation counts such rows."),
)


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
    frame = table(results["F"].records)
    frame = frame[(frame["metric"] == "miou") & frame["setting"].isin([paper.FREE, paper.BARE]) & (frame["vfm"] == "")]
    both = frame.pivot_table(index=["method", "dataset"], columns="setting", values="value").dropna()
    return float((both[paper.FREE] - both[paper.BARE]).abs().max()) if len(both) else None


def fragment(data: Path) -> Markup:
    """The table, the largest change first.

    Parameters
    ----------
    data : Path
        Folder with the records of the chapters and ``diagnosis.json``.
    """
    saved = data / "diagnosis.json"
    diagnosis: dict[str, Any] = json.loads(saved.read_text(encoding="utf-8")) if saved.is_file() else {}
    costs = {row["setting"]: abs(row["cost"]) for row in diagnosis.get("settings", [])}
    results = own_results(data)
    costs |= {"readings": readings_cost(results), "readouts": readouts_cost(results)}
    where = {"readings": "chapter E", "readouts": "chapter F, the method that changes most"}
    rows = [(one, costs.get(one.measured), where.get(one.measured, "tiny diagnosis")) for one in OBSTACLES]
    rows.sort(key=lambda row: -1.0 if row[1] is None else row[1], reverse=True)
    return render("obstacles", rows=rows)
