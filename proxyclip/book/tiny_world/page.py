"""Write the book's page about the tiny world, and its appendix: ``python -m proxyclip.book.tiny_world.page``.

Every number and picture on the page comes from the generator, the model cards, or measurements of the shipped weights,
which are JSON files beside the weights: ``scores.json`` (``python -m proxyclip.book.tiny_world.score``) and, where they
exist, ``study.json`` and ``ablation.json`` (``python -m proxyclip.book.tiny_world.study`` and ``.ablation``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from proxyclip.book.tiny_world import findings
from proxyclip.book.tiny_world.appendix import appendix_text, curves
from proxyclip.book.tiny_world.findings import DEFAULT_RULE, scores_frame
from proxyclip.book.tiny_world.pictures import SHOWN
from proxyclip.book.tiny_world.sections import code, listed, picture, table
from proxyclip.system.atomic import write_text
from proxyclip.tiny import models
from proxyclip.tiny.world.classes import COLOURS, PATTERNS, STUFF, THINGS
from proxyclip.tiny.world.sets import SETS

#: What may have been measured; the page does without any but the first.
MEASURED = ("scores", "study", "ablation", "before_after")


def measurements(folder: Path = models.WEIGHTS) -> dict[str, dict[str, Any]]:
    """What was measured on the weights of a folder, by name.

    Raises
    ------
    ValueError
        When a file was measured on other weights than the folder's.
    """
    found = {n: json.loads(path.read_text()) for n in MEASURED if (path := folder / f"{n}.json").exists()}
    here = models.digests(folder)
    for name, record in found.items():
        weights = record.get("weights", record.get("settings", {}).get("weights", here))
        other = sorted(model for model in weights if here.get(model) != weights[model])
        if other:
            command = f"python -m proxyclip.book.tiny_world.{name.removesuffix('s')}"
            raise ValueError(f"{name}.json was measured on other weights of {', '.join(other)}; run {command} again")
    return found


def sets_table() -> str:
    """The sets and the protocol that each is scored with."""
    rows = [
        (
            code(name),
            row.stands_for,
            str(len(row.classes)),
            f"{row.size[0]} x {row.size[1]}",
            f"{row.window} / {row.stride}",
            "none" if row.prob_threshold is None else f"{row.prob_threshold:g}",
        )
        for name, row in SETS.items()
    ]
    return table(("set", "stands for", "classes", "pixels", "windows", "background threshold"), rows)


def limits(scores: dict[str, Any], cards: dict[str, dict[str, Any]]) -> str:
    """What the models are not, from their cards and scores."""
    minutes = [card["wall_minutes"] for card in cards.values()]
    kinds = dict.fromkeys(str(card.get("device", "unrecorded device")).partition(" ")[0] for card in cards.values())
    devices = listed(f"a {kind.upper() if kind == 'cpu' else kind}" for kind in kinds)
    margins = findings.controls(scores_frame(scores))["average"]
    behind = [code(name) for name, margin in margins.items() if margin <= 0]
    items = [
        f"The models trained for {min(minutes):g} to {max(minutes):g} minutes each, on {devices}, on as many crops as "
        "their table says, not on billions of images. The gap between the oracle and 100 is recognition, above all of "
        "things; regions are the smaller part."
    ]
    if behind:
        what = "is" if len(behind) == 1 else "are"
        items.append(
            f"On average {listed(behind)} {what} not ahead of the controls: such features say more about short "
            "training than about their family."
        )
    items.append("Objects are drawings. Nothing here predicts a number on photos; those are the `paper` profile's.")
    return "\n".join(f"- {item}" for item in items)


def averages(scores: dict[str, Any]) -> str:
    """mIoU over all sets by method, at the paper's defaults, the highest first."""
    frame = scores_frame(scores)
    frame = frame[(frame["proxy"] == "") | (frame["rule"] == DEFAULT_RULE) | findings.shown_identity(frame)]
    names = [f"proxy: {code(p)}" if p and r == DEFAULT_RULE else code(r)
             for p, r in zip(frame["proxy"], frame["rule"], strict=True)]
    means = frame.assign(method=names).groupby(["method", "set"])["miou"].mean().groupby("method").mean()
    means = means.sort_values(ascending=False)
    return table(("method", "mean of the sets, mIoU in %"), [(name, f"{value:.1f}") for name, value in means.items()])


def page_text(measured: dict[str, dict[str, Any]], cards: dict[str, dict[str, Any]]) -> str:
    """The short page in MyST Markdown: what the world is and what it can show."""
    scores = measured["scores"]
    seeds = ", ".join(map(str, scores["seeds"]))
    shown = "\n\n".join(picture(name) for name in SHOWN)
    return f"""---
myst:
  html_meta:
    "description": "The generated world of this book's experiments, what it can show, and scenes with ground truth."
---
# The tiny world

On a machine that can download nothing, every chapter runs on generated scenes and on small models that were trained on
them from scratch and are shipped with the package. Their learning is real: a CLIP that learned words from captions,
foundation models that learned from images, or from masks, and none that saw a label of the test scenes.

**What it can show:** whether a mechanism works as described, such as what a threshold keeps, which patches attend to
each other, or what a second model adds to CLIP. **What it cannot show:** a benchmark score, or which published model
is the best.

{shown}

## The sets

{len(STUFF)} kinds of stuff are procedural textures; {len(THINGS)} kinds of things are vector drawings in
{len(COLOURS)} colours and {len(PATTERNS)} patterns. Colour must not give a class away: textures take palettes from a
shared pool, and shadows and uneven light cross the borders between regions. Training, validation and test scenes come
from different seeds.

{sets_table()}

## The models, in one table

Test seeds {seeds}, {scores["scenes"]} scenes per set and seed, profile `tiny`, the paper's defaults (beta 1.2, gamma
3.0). `colours` (the mean colour of a patch as feature), `untrained` (a ViT without training) and `identity` (each
patch keeps its own value) are controls; `oracle` takes the true regions as features, so that what is missing to 100
there is CLIP's doing.

{averages(scores)}

[The appendix](tiny_world_appendix.md) has the training of each model, the scores set by set with their spread over the
seeds, and what was found out about masks and controls.

## Limits

{limits(scores, cards)}
"""


def main(book: Annotated[Path, typer.Option(help="folder of the book")] = Path("book")) -> None:
    """Write ``tiny_world.md``, ``tiny_world_appendix.md`` and the figure of the losses."""
    manifest = json.loads(models.MANIFEST.read_text())
    cards = {n: json.loads((models.WEIGHTS / f"{n}.json").read_text()) for n in models.MODELS if n in manifest}
    measured = measurements()
    write_text(book / "_static" / "tiny" / "curves.svg", curves(cards))
    write_text(book / "tiny_world.md", page_text(measured, cards))
    write_text(book / "tiny_world_appendix.md", appendix_text(measured, cards, manifest))


if __name__ == "__main__":
    typer.run(main)
