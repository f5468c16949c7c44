"""Write the book's page about the tiny world and its appendix: ``python -m book.tiny_world.page``.

Every number and picture comes from the generator, the model cards, or measurements of the shipped weights, which are
JSON files beside the weights: ``scores.json``, written by ``python -m book.tiny_world.score``, and, where
they exist, ``study.json`` and ``floors.json``, written by the modules of these names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from book.tiny_world import findings
from book.tiny_world.appendix import appendix_text, curves
from book.tiny_world.findings import by_method, scores_frame
from book.tiny_world.pictures import SHOWN
from book.tiny_world.sections import code, geometries, listed, picture, table
from proxyclip.system.atomic import write_text
from proxyclip.tiny import models
from proxyclip.tiny.world.classes import COLOURS, PATTERNS, STUFF, THINGS
from proxyclip.tiny.world.sets import SETS

#: Records of measurements; only the first is required.
MEASURED = ("scores", "study", "floors")

FAMILIES_DIFFER = """## Where each family's geometry comes from

Published families differ in how similar the patches of a window are. To first order two numbers describe it: a base,
which any two patches have in common, and an individual part, which a patch shares with no other
(`proxyclip.with_geometry`). The stages that teach the tiny models which patches belong together end with nearly the
same histogram of cosines for every family. The last stage then trains each model towards a base and an individual part
of its family's own. **These targets were chosen, with the paper's results in view.** So what section D reports about
thresholds that differ (claim D1) is partly built in here. That the adaptive rule does well for every family (claim
D2) is not: no target asks for it. Targets were compared on validation scenes only, by the histogram of cosines and by
the mIoU along alpha and of the adaptive rule."""


def measurements(folder: Path = models.WEIGHTS) -> dict[str, dict[str, Any]]:
    """The measurements on the weights of a folder, by name.

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
            command = f"python -m book.tiny_world.{name.replace('scores', 'score')}"
            raise ValueError(f"{name}.json was measured on other weights of {', '.join(other)}; run {command} again")
    return found


def model_cards() -> dict[str, dict[str, Any]]:
    """Cards of the shipped models by name, with the size of their weights from the manifest as ``bytes``."""
    manifest = json.loads(models.MANIFEST.read_text())
    return {name: {**json.loads((models.WEIGHTS / f"{name}.json").read_text()), "bytes": manifest[name]["bytes"]}
            for name in models.MODELS if name in manifest}


def sets_table() -> str:
    """The sets and the protocol of each."""
    rows = [(code(name), row.stands_for, str(len(row.classes)), f"{row.size[0]} x {row.size[1]}",
             f"{row.window} / {row.stride}", "none" if row.prob_threshold is None else f"{row.prob_threshold:g}")
            for name, row in SETS.items()]
    return table(("set", "stands for", "classes", "pixels", "windows", "background threshold"), rows)


def limits(scores: dict[str, Any], cards: dict[str, dict[str, Any]]) -> str:
    """The limits of the models, from their cards and scores."""
    minutes = [card["wall_minutes"] for card in cards.values()]
    kinds = dict.fromkeys(str(card.get("device", "unrecorded device")).partition(" ")[0] for card in cards.values())
    devices = listed(f"a {kind.upper() if kind == 'cpu' else kind}" for kind in kinds)
    margins = findings.controls(scores_frame(scores))["average"]
    behind = [code(name) for name, margin in margins.items() if margin <= 0]
    items = [
        f"The models were trained for {min(minutes):g} to {max(minutes):g} minutes each, on {devices}, on the numbers "
        "of crops that the appendix lists and not on billions of images. Most of their errors are errors of "
        "recognition, above all of things: they remain under the oracle, which knows the true regions."
    ]
    if behind:
        what = "is" if len(behind) == 1 else "are"
        items.append(
            f"On average {listed(behind)} {what} not ahead of the controls. Such features tell more about the short "
            "training than about their family."
        )
    items.append("Objects are drawings. Nothing here predicts a score on photographs, for which the `paper` profile "
                 "is needed.")
    return "\n".join(f"- {item}" for item in items)


def averages(scores: dict[str, Any]) -> str:
    """mIoU over all sets by method, at the paper's defaults, the highest first."""
    means = by_method(scores_frame(scores)).mean().groupby("method").mean().sort_values(ascending=False)
    return table(("method", "mean of the sets, mIoU in %"), [(name, f"{value:.1f}") for name, value in means.items()])


def page_text(measured: dict[str, dict[str, Any]], cards: dict[str, dict[str, Any]]) -> str:
    """The page in MyST Markdown: what the world is and what it can show."""
    scores = measured["scores"]
    seeds = ", ".join(map(str, scores["seeds"]))
    shown = "\n\n".join(picture(name) for name in SHOWN)
    families = f"\n{FAMILIES_DIFFER}\n\n{geometries(measured['floors'], cards)}\n" if "floors" in measured else ""
    return f"""---
myst:
  html_meta:
    "description": "The generated world of this book's experiments, what it can show, and scenes with ground truth."
---
# The tiny world

Every chapter also runs on a machine that can download nothing: on generated scenes, with small models that were trained
on such scenes from scratch and are shipped with the package. They have learned as their large relatives did: CLIP
learned words from captions, the foundation models learned from images or from masks, and none has seen a label of the
test scenes.

**What the tiny world can show:** whether a mechanism works as described, such as what a threshold keeps, which patches
attend to each other, or what a second model adds to CLIP. **What it cannot show:** a benchmark score, or which
published model is the best.

{shown}

## The sets

{len(STUFF)} kinds of stuff are procedural textures; {len(THINGS)} kinds of things are vector drawings in
{len(COLOURS)} colours and {len(PATTERNS)} patterns. Colour must not give a class away, so textures take their palettes
from a shared pool, and shadows and uneven light cross the borders between regions. Training, validation and test scenes
come from different seeds.

{sets_table()}

## The models, in one table

The scores are means over the test seeds {seeds}, with {scores["scenes"]} scenes per set and seed, at the paper's
defaults (beta 1.2, gamma 3.0; profile `tiny`). Three controls show what a proxy has to beat: `colours` takes the mean
colour of a patch as its feature, `untrained` is a ViT without training, and under `identity` each patch keeps its own
value. `oracle` takes the true regions as features, so that all its errors are CLIP's.

{averages(scores)}

[The appendix](tiny_world_appendix.md) describes the training of each model, gives the scores set by set with their
spread over the seeds, and reports what they show about masks and controls.
{families}
## Limits

{limits(scores, cards)}
"""


def main(book: Annotated[Path, typer.Option(help="folder of the book")] = Path("book")) -> None:
    """Write ``tiny_world.md``, ``tiny_world_appendix.md`` and the figure of the losses."""
    cards, measured = model_cards(), measurements()
    write_text(book / "_static" / "tiny" / "curves.svg", curves(cards))
    write_text(book / "tiny_world.md", page_text(measured, cards))
    write_text(book / "tiny_world_appendix.md", appendix_text(measured, cards))


if __name__ == "__main__":
    typer.run(main)
