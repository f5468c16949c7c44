"""The appendix of the tiny world's page: how the models were trained, what they score, what was found out."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from proxyclip.book.tiny_world import findings, sections
from proxyclip.book.tiny_world.findings import DEFAULT_RULE, scores_frame
from proxyclip.book.tiny_world.pictures import SHOWN
from proxyclip.book.tiny_world.sections import code, listed, picture, table, tables
from proxyclip.book.tiny_world.study import frame_of
from proxyclip.evaluation.geometry import ALONE_LIMIT
from proxyclip.supplement.figures.layout import LOOK
from proxyclip.supplement.figures.palette import style_of
from proxyclip.tiny.world.classes import CLASSES, STUFF, THINGS
from proxyclip.tiny.world.sets import SETS


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
    """What the paper's rule sees of the weights that are shipped."""
    rows = [
        (code(name), f"{of['step']:,}", f"{of['mean']:.2f}", f"{100 * of['kept']:.0f} %", f"{100 * of['alone']:.2f} %",
         f"{of['auc']:.2f}")
        for name, card in cards.items()
        if (of := card.get("geometry"))
    ]  # fmt: skip
    whole = table(("model", "step", "mean cosine", "entries kept", "rows alone", "AUC"), rows)
    limit = ALONE_LIMIT / 100
    apart = [code(name) for name, card in cards.items() if (card.get("geometry") or {}).get("alone", 0) > limit]
    if not apart:
        return whole
    return f"""{whole}

More than {ALONE_LIMIT:g} % of the rows stand alone with {listed(apart)}. They lie in windows that show little but one
region, where all cosines are near 1 and their mean exceeds 1 / beta; there the rule is the identity."""


def score_tables(scores: dict[str, Any]) -> str:
    """mIoU by method and set, mean and standard deviation over the seeds, worst first."""
    frame = scores_frame(scores)
    frame = frame[(frame["proxy"] == "") | (frame["rule"] == DEFAULT_RULE) | findings.shown_identity(frame)]
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
        parts.append(f"## Before and after\n\n{sections.before_after(measured['before_after'])}")
    return "\n".join(parts)


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

`tiny_supervised` is no foundation model. It stands for the fully-supervised methods of section F: a head of
convolutions on the frozen features of `tiny_clip`, trained on masks with the names of the {len(STUFF)} kinds of stuff
and the {len(THINGS)} kinds of things. Its embeddings are compared with CLIP's text embeddings, so that it can be asked
for the combinations of `tiny/longtail` and `tiny/medley`, which none of its masks named.

Every 200 steps the trainer measures the averaged weights of a foundation model on 32 windows of validation scenes: the
mean cosine, what the paper's rule keeps, how many rows keep only themselves, and how often a pair of patches of one
region is more similar than a pair of two regions (AUC). The last of the weights with the highest AUC are kept, of those
under which the rule is usable: at most 1 % of rows alone, 8 to 60 % of the entries kept, a mean cosine between 0.1 and
0.75. Masks serve this measurement alone. `tiny_sam` was trained before there was such a choice. Of the weights that are
shipped:

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
