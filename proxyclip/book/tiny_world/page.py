"""Write the book's page about the tiny world, and its appendix: ``python -m proxyclip.book.tiny_world.page``.

Every number and picture on the page comes from the generator, the model cards, or measurements of the shipped weights,
which are JSON files beside the weights: ``scores.json`` (``python -m proxyclip.book.tiny_world.score``) and, where they
exist, ``study.json`` and ``ablation.json`` (``python -m proxyclip.book.tiny_world.study`` and ``.ablation``).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import typer
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from proxyclip.book.tiny_world import findings, floors_section, sections
from proxyclip.book.tiny_world.findings import DEFAULT_RULE, scores_frame
from proxyclip.book.tiny_world.pictures import SHOWN
from proxyclip.book.tiny_world.sections import code, listed, table, tables
from proxyclip.book.tiny_world.study import frame_of
from proxyclip.supplement.figures.layout import LOOK
from proxyclip.supplement.figures.palette import style_of
from proxyclip.system.atomic import write_text
from proxyclip.tiny import models
from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, STUFF, THINGS
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


def models_tables(cards: dict[str, dict[str, Any]], manifest: dict[str, Any]) -> str:
    """What each model is and learns from, and what its training took."""
    learns = [(code(name), card["family"], card["objective"]) for name, card in cards.items()]
    took = [
        (
            code(name),
            f"{card['steps']:,}",
            f"{card['samples']:,}",
            f"{card['wall_minutes']:g}",
            f"{manifest[name]['bytes'] / 2**20:.1f}",
        )
        for name, card in cards.items()
    ]
    head = ("model", "steps", "samples", "minutes", "MiB")
    return f"{table(('model', 'family', 'learns from'), learns)}\n\n{table(head, took)}"


def geometry_table(cards: dict[str, dict[str, Any]]) -> str:
    """What the paper's rule sees of the weights that were kept, of the models whose training measured it."""
    rows = [
        (code(name), f"{of['step']:,}", f"{of['mean']:.2f}", f"{100 * of['kept']:.0f} %", f"{100 * of['alone']:.2f} %",
         f"{of['auc']:.2f}")
        for name, card in cards.items()
        if (of := card.get("geometry"))
    ]  # fmt: skip
    return table(("model", "step", "mean cosine", "entries kept", "rows alone", "AUC"), rows)


def _is_shown_identity(frame: pd.DataFrame) -> pd.Series:
    """Rows of ``identity`` on the default VFM's grid, which speak for it in the tables."""
    return (frame["proxy"] == findings.DEFAULT_VFM) & (frame["rule"] == findings.IDENTITY)


def score_tables(scores: dict[str, Any]) -> str:
    """mIoU by method and set, mean and standard deviation over the seeds, worst first."""
    frame = scores_frame(scores)
    frame = frame[(frame["proxy"] == "") | (frame["rule"] == DEFAULT_RULE) | _is_shown_identity(frame)]
    frame = frame.assign(method=[f"{code(p)} proxy" if p and r == DEFAULT_RULE else code(r)
                                 for p, r in zip(frame["proxy"], frame["rule"], strict=True)])
    grouped = frame.groupby(["method", "set"], sort=False)["miou"]
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    average = mean.mean(axis=1).sort_values()
    rows = [
        (m, *(f"{mean.loc[m, s]:.1f} ±\u00a0{spread.loc[m, s]:.1f}" for s in mean), f"{average[m]:.1f}")
        for m in average.index
    ]
    return tables(("method", *map(code, mean), "average"), rows)


def pooling(card: dict[str, Any], ablation: dict[str, Any] | None) -> str:
    """How training CLIP favours dense readouts, with the ablation where it has been run."""
    share = card.get("attention_only")
    steps = "part" if share is None else f"{100 * share:g} %"
    text = f"""In {steps} of the steps the class token is pooled by the last block's attention over the patches alone,
without residual and MLP. That teaches the value path, which dense readouts use, to carry meaning: **it favours every
readout of that path, the proxy's included**, more than the training of a real CLIP does."""
    if ablation is None:
        return f"{text} An ablation without it has not been run yet."
    return f"{text}\n\n{sections.ablation(ablation)}"


def found_out(measured: dict[str, dict[str, Any]]) -> str:
    """The sections of findings, as far as they have been measured."""
    scores = scores_frame(measured["scores"])
    parts = [f"## Order and controls\n\n{sections.order(scores)}\n{sections.controls(scores)}"]
    if "study" in measured:
        study, settings = frame_of(measured["study"]), measured["study"]["settings"]
        about = f"Seeds {listed(map(str, sorted(set(study['seed']))))}, {settings['scenes']} scenes per set and seed."
        parts.append(f"## Plateau\n\n{about} {sections.plateau(study)}")
        parts.append(f"## Hard masks\n\n{about} {sections.hard_masks(study)}")
    if "before_after" in measured:
        parts.append(f"## Before and after\n\n{floors_section.before_after(measured['before_after'])}")
    return "\n".join(parts)


def limits(scores: dict[str, Any], cards: dict[str, dict[str, Any]]) -> str:
    """What the models are not, from their cards and scores."""
    minutes = [card["wall_minutes"] for card in cards.values()]
    devices = listed(dict.fromkeys(str(card.get("device", "an unrecorded device")) for card in cards.values()))
    margins = findings.controls(scores_frame(scores))["average"]
    behind = [code(name) for name, margin in margins.items() if margin <= 0]
    items = [
        f"The models trained for {min(minutes):g} to {max(minutes):g} minutes ({devices}) on as many crops as their "
        "table says, not on billions of images. The gap between the oracle and 100 is recognition, above all of "
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


def picture(name: str) -> str:
    """Directive for a figure that the build draws (:mod:`proxyclip.book.tiny_world.pictures`)."""
    return f"```{{raw}} html\n:file: generated/scenes_{name.partition('/')[2]}.html\n```"


def averages(scores: dict[str, Any]) -> str:
    """mIoU over all sets by method, at the paper's defaults, the lowest first."""
    frame = scores_frame(scores)
    frame = frame[(frame["proxy"] == "") | (frame["rule"] == DEFAULT_RULE) | _is_shown_identity(frame)]
    names = [f"proxy: {code(p)}" if p and r == DEFAULT_RULE else code(r)
             for p, r in zip(frame["proxy"], frame["rule"], strict=True)]
    means = frame.assign(method=names).groupby(["method", "set"])["miou"].mean().groupby("method").mean().sort_values()
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
3.0). `colours` (the mean colour of a patch as feature) and `untrained` (a ViT without training) are controls; `oracle`
takes the true regions as features, so that what is missing to 100 there is CLIP's doing.

{averages(scores)}

[The appendix](tiny_world_appendix.md) has the training of each model, the scores set by set with their spread over the
seeds, and what was found out about masks and controls.

## Limits

{limits(scores, cards)}
"""


def appendix_text(
    measured: dict[str, dict[str, Any]], cards: dict[str, dict[str, Any]], manifest: dict[str, Any]
) -> str:
    """The appendix in MyST Markdown: training, scores, findings."""
    scores = measured["scores"]
    precision = scores["average_precision"]
    classes = " · ".join(f"{name} {precision[name]:.0f}" for name in CLASSES)
    stuff = np.mean([precision[n] for n in STUFF])
    things = np.mean([precision[n] for n in THINGS])
    tail = scores["longtail"]
    notes = "\n".join(f"- `{name}`: {card['notes']}" for name, card in cards.items() if card.get("notes"))
    differences = f" What was\ndifferent about the shipped runs, from their cards:\n\n{notes}" if notes else ""
    seeds = ", ".join(map(str, scores["seeds"]))
    others = "\n\n".join(picture(name) for name in SETS if name not in SHOWN)
    return f"""---
myst:
  html_meta:
    "description": "How the tiny models of this book were trained, what they score, and what was found out about them."
---
# Appendix: the tiny models

How the models of the [tiny world](tiny_world.md) were trained, and what they score.

## Training

{models_tables(cards, manifest)}

CLIP learns in a curriculum: crops of 32 pixels around single things first, windows of 64 pixels as the evaluation cuts
them later. A caption states what is visible in its crop; captions that are also true of another image of the batch do
not count as its negatives, which only a generated world can know. A second part of the objective takes short captions,
single noun phrases ("a red ball") of what is visible anywhere in the batch. Each is compared with every crop: all crops
that show it are its positives, those that lack it its negatives. A quarter of the combinations of colour, pattern and
thing is never named in full by a training caption, although each of their
pairs is; `tiny/longtail` asks for both kinds.

`tiny_sam` learns from masks without names which patches belong together. The other foundation models see neither masks
nor names. They begin with the objective of their family. Trained so briefly, that objective alone leaves features that
the paper's rule cannot use: the patches of a window pointed in nearly one direction in the DINO models, and most kept
only themselves. So every one of these models then teaches itself which patches of a window belong together, **which the
published models of these families did not**:

- `tiny_dino`, `tiny_dino8` and `tiny_dinov2` in two more stages. The model sees one cell of 16 pixels at a time and
  tells patches that lie side by side in a scene from patches drawn at random. Then it reads whole windows, in other
  colours, and agrees on its pairs of patches with the averaged model of cells, which is frozen. A window whose cosines
  crowd together is charged.
- `tiny_mae` and `tiny_sd` in one more. A frozen average of the model's own weights says which patches look alike.
  Windows are cut into random shapes and put together from three scenes. Patches of different scenes repel each other;
  those of one scene attract where the teacher finds them alike, and repel where it finds them unlike.

Every 200 steps the trainer measures the averaged weights on 32 windows of validation scenes: the mean cosine, what the
paper's rule keeps, how many rows keep only themselves, and how often a pair of patches of one region is more similar
than a pair of two regions (AUC). The last of the weights with the highest AUC are kept, of those under which the rule
is usable: at most 1 % of rows alone, 8 to 60 % of the entries kept, a mean cosine between 0.1 and 0.75. Masks serve
this measurement alone. Of the weights that are shipped:

{geometry_table(cards)}

{pooling(cards["tiny_clip"], measured.get("ablation"))}

`python -m proxyclip.tiny.training.pretrain NAME` trains a model by its recipe and resumes where it was interrupted;
`--start` goes on from other weights. `python -m proxyclip.tiny.training.ship` puts weights and card into the package;
with `--average`, the mean of trainings that began with the same weights.{differences}

```{{figure}} _static/tiny/curves.svg
:alt: Training loss of every tiny model along its steps, one panel a model.

Training losses (running means), of the last run where a model had several. A jump is the start of another stage, whose
loss is another one: pairs in `tiny_mae`, denoiser and pairs in `tiny_sd`, cells and whole windows in the DINO models.
```

## Scores

Test seeds {seeds}, {scores["scenes"]} scenes per set and seed, profile `tiny`. Average precision of CLIP's image
embedding on 64-px windows of `tiny/context` ({scores["precision_scenes"]} scenes a seed): stuff {stuff:.1f}, things
{things:.1f}. By class: {classes}.

mIoU in per cent at the paper's defaults (beta 1.2, gamma 3.0), means and standard deviations over the seeds.

{score_tables(scores)}

Combinations in `tiny/longtail`: mean IoU {tail["captioned"]:.1f} where training captions named them in full,
{tail["held_out"]:.1f} where they never did.

{found_out(measured)}

## Further scenes

{others}
"""


def main(book: Annotated[Path, typer.Option(help="folder of the book")] = Path("book")) -> None:
    """Write ``tiny_world.md``, ``tiny_world_appendix.md`` and the figure of the losses."""
    manifest = json.loads(models.MANIFEST.read_text())
    cards = {n: json.loads((models.WEIGHTS / f"{n}.json").read_text()) for n in models.MODELS if n in manifest}
    measured = measurements()
    write_text(book / "_static" / "tiny" / "curves.svg", curves(cards))
    write_text(book / "tiny_world.md", page_text(measured, cards))
    write_text(book / "tiny_world_appendix.md", appendix_text(measured, cards, manifest))


def curves(cards: dict[str, dict[str, Any]]) -> str:
    """Training losses of every model, one panel each, two side by side so that a phone can show them: an SVG."""
    rows = -(-len(cards) // 2)
    with mpl.rc_context(LOOK | {"figure.facecolor": "white", "savefig.facecolor": "white"}):
        figure = Figure(figsize=(5.4, 1.7 * rows), layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for panel, (name, card) in zip(panels, cards.items(), strict=False):
            curve = np.array([row for row in card["curve"] if np.isfinite(row).all()])
            panel.plot(curve[:, 0], curve[:, 2], color=style_of(name).light, linewidth=2)
            panel.set_title(name)
            panel.set_xlim(left=0)
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_locator(MaxNLocator(3))
        for panel in panels[len(cards) :]:
            panel.set_axis_off()
        figure.supxlabel("step", fontsize=11)
        figure.supylabel("loss", fontsize=11)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


if __name__ == "__main__":
    typer.run(main)
