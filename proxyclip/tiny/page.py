"""Write the book's page about the tiny world: ``python -m proxyclip.tiny.page``.

Everything on the page that is a number or a picture comes from the generator, the model cards and the shipped scores
(``weights/scores.json``, written by ``python -m proxyclip.tiny.score``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from proxyclip.atomic import replacing
from proxyclip.tiny import models
from proxyclip.tiny.sets import SETS, VAL_SEED, render
from proxyclip.tiny.world import CLASSES, COLOURS, PATTERNS, STUFF, THINGS

SCORES = models.WEIGHTS / "scores.json"
DEFAULT_RULE = "adaptive:1.2,3"


def contact_sheet(path: Path, seed: int = VAL_SEED, scale: int = 1) -> None:
    """Two scenes of every set that is square, one street below: a PNG."""
    square = [name for name, row in SETS.items() if row.size == (128, 128)]
    rows = [np.concatenate([render(name, seed, i).image for name in square], axis=1) for i in (0, 1)]
    streets = [render("tiny/street", seed, i).image for i in range(4)]
    wide = np.concatenate(streets, axis=1)[:, : rows[0].shape[1]]
    sheet = Image.fromarray(np.concatenate([*rows, wide], axis=0))
    sheet.resize((sheet.width * scale, sheet.height * scale), Image.LANCZOS).save(path, optimize=True)


def curves(path: Path, cards: dict[str, dict[str, Any]]) -> None:
    """Training losses of every model, one small panel each: a PNG."""
    figure = Figure(figsize=(9, 2.2 * ((len(cards) + 2) // 3)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots((len(cards) + 2) // 3, 3, squeeze=False).ravel()
    for panel, (name, card) in zip(panels, cards.items(), strict=False):
        curve = np.array([row for row in card["curve"] if np.isfinite(row).all()])
        panel.plot(curve[:, 0], curve[:, 2], color="#0072B2")
        panel.set_title(f"{name}: loss by step", fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(cards) :]:
        panel.set_axis_off()
    figure.savefig(path, dpi=160)


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown with one decimal, the index as its first column."""
    rows = zip(frame.index, frame.values, strict=True)
    cells = [[str(i), *("" if pd.isna(v) else f"{v:.1f}" for v in row)] for i, row in rows]
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *cells)]
    return "\n".join(lines)


def sets_table() -> str:
    rows = ["| set | stands for | classes | scenes | windows | background threshold |", "|---|---|---|---|---|---|"]
    for name, row in SETS.items():
        threshold = "none" if row.prob_threshold is None else row.prob_threshold
        size = f"{row.size[0]} x {row.size[1]}"
        classes = len(row.classes)
        rows.append(f"| `{name}` | {row.stands_for} | {classes} | {size} | {row.window} / {row.stride} | {threshold} |")
    return "\n".join(rows)


def models_table(cards: dict[str, dict[str, Any]], manifest: dict[str, Any]) -> str:
    rows = ["| model | family | learns from | steps | samples | minutes | MiB |", "|---|---|---|---|---|---|---|"]
    for name, card in cards.items():
        size = manifest[name]["bytes"] / 2**20
        rows.append(
            f"| `{name}` | {card['family']} | {card['objective']} | {card['steps']} | {card['samples']:,} "
            f"| {card['wall_minutes']} | {size:.1f} |"
        )
    return "\n".join(rows)


def score_tables(scores: dict[str, Any]) -> tuple[str, str]:
    """mIoU by set (means over seeds) and its spread, as Markdown."""
    frame = pd.DataFrame(scores["miou"])
    frame["method"] = [f"{p}, proxy" if p else r for p, r in zip(frame["proxy"], frame["rule"], strict=True)]
    frame = frame[(frame["proxy"] == "") | (frame["rule"] == DEFAULT_RULE)]
    grouped = frame.groupby(["method", "set"], sort=False)["miou"]
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    order = mean.assign(mean=mean.mean(axis=1)).sort_values("mean")
    return markdown(order), markdown(spread.loc[order.index])


def page(scores: dict[str, Any], cards: dict[str, dict[str, Any]], manifest: dict[str, Any]) -> str:
    """The page in MyST Markdown."""
    means, spreads = score_tables(scores)
    precision = scores["average_precision"]
    classes = " · ".join(f"{name} {precision[name]:.0f}" for name in CLASSES)
    stuff = np.mean([precision[n] for n in STUFF])
    things = np.mean([precision[n] for n in THINGS])
    tail = scores["longtail"]
    notes = "\n".join(f"- `{name}`: {card['notes']}" for name, card in cards.items() if card.get("notes"))
    seeds = ", ".join(map(str, scores["seeds"]))
    return f"""# The tiny world

On a machine that can download nothing, every chapter runs on a generated world and on models trained from scratch on
it. They are small, but their learning and their numbers are real. This page says what the world is, how the models were
trained, what they reach, and where the resemblance to the paper's setting ends.

```{{figure}} _static/tiny/samples.png
:alt: Two rows of generated scenes from seven sets, textures with drawn objects, and a row of street scenes below.

Generated scenes: two of every square set ({", ".join(f"`{n}`" for n, r in SETS.items() if r.size == (128, 128))}),
below them `tiny/street`. Validation seed.
```

## Scenes

{len(STUFF)} kinds of stuff are procedural textures; {len(THINGS)} kinds of things are vector drawings in
{len(COLOURS)} colours and {len(PATTERNS)} patterns. Colour must not give a class away: textures take palettes from a
shared pool, have several colours, and shadows and uneven light cross the borders between regions. Training, validation
and test scenes come from different seeds; nothing was tuned on the test seeds.

{sets_table()}

A quarter of the combinations of colour, pattern and thing is never named in full by a training caption, although each
of their pairs is. `tiny/longtail` asks for both kinds.

## Models

{models_table(cards, manifest)}

CLIP learns in a curriculum: crops of 32 pixels around single things first, windows of 64 pixels as the evaluation cuts
them later. A caption states what is visible in its crop; captions that are also true of another image of the batch do
not count as its negatives, which only a generated world can know. In half of the steps the class token is pooled by
the last block's attention over the patches alone, without residual and MLP. That teaches the value path, which dense
readouts use, to carry meaning: **it favours every readout of that path, the proxy's included**, more than the training
of a real CLIP does. An ablation without it has not been run yet.

`python -m proxyclip.tiny.pretrain NAME` trains a model by its recipe and resumes where it was interrupted. What was
different about the shipped runs, from their cards:

{notes}

```{{figure}} _static/tiny/curves.png
:alt: Falling training losses of every tiny model.

Training losses (running means).
```

## What they reach

Test seeds {seeds}, {scores["scenes"]} scenes per set and seed, profile `tiny`. Average precision of CLIP's image
embedding on 64-px windows of `tiny/context` ({scores["precision_scenes"]} scenes a seed): stuff {stuff:.1f}, things
{things:.1f}. By class: {classes}.

mIoU in per cent at the paper's defaults (beta 1.2, gamma 3.0), means over the seeds. *colours* (the mean colour of a
patch as feature) and *untrained* (a ViT without training) are controls, *oracle* takes the true regions as features:
what is missing to 100 there is CLIP's doing.

{means}

Standard deviation over the seeds:

{spreads}

Combinations in `tiny/longtail`: mean IoU {tail["captioned"]:.1f} where training captions named them in full,
{tail["held_out"]:.1f} where they never did.

## Limits

- The models saw as many crops as the table of models says, on two shared CPU cores, not billions of images. The gap
  between the oracle and 100 is recognition, above all of things; regions are the smaller part.
- CLIP's q-k similarity does not stand above vanilla CLIP on most sets, against the paper's order. In the last block
  only the class token's query is ever trained; that may be why, it has not been tested.
- The self-supervised models trained for minutes, and `tiny_sd` for so few steps that it is a placeholder. Where one
  does not beat the controls in the table above, its features say more about short training than about its family.
- The features of `tiny_dino` share one direction, so the default threshold keeps only the closest patches: its proxy
  is not far from reading every value in place. `tiny_dino8` and `tiny_dinov2` were trained with a term against that.
- Objects are drawings. Nothing here predicts a number on photographs; those are the `paper` profile's.
"""


def main(book: Annotated[Path, typer.Option(help="folder of the book")] = Path("book")) -> None:
    """Write ``tiny_world.md`` and its figures."""
    manifest = json.loads(models.MANIFEST.read_text())
    cards = {n: json.loads((models.WEIGHTS / f"{n}.json").read_text()) for n in models.MODELS if n in manifest}
    figures = book / "_static" / "tiny"
    figures.mkdir(parents=True, exist_ok=True)
    contact_sheet(figures / "samples.png")
    curves(figures / "curves.png", cards)
    with replacing(book / "tiny_world.md") as path:
        path.write_text(page(json.loads(SCORES.read_text()), cards, manifest))


if __name__ == "__main__":
    typer.run(main)
