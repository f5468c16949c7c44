"""The appendix of the tiny world's page: how the models were trained, what they score, what the scores show."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from book.tiny_world import sections
from book.tiny_world.findings import by_method, scores_frame
from book.tiny_world.pictures import SHOWN
from book.tiny_world.sections import code, listed, picture, table, tables
from book.tiny_world.study import frame_of
from proxyclip.evaluation.geometry import ALONE_LIMIT
from proxyclip.supplement.figures.layout import LOOK
from proxyclip.supplement.figures.palette import style_of
from proxyclip.tiny.world.classes import CLASSES, STUFF, THINGS
from proxyclip.tiny.world.sets import SETS


def models_tables(cards: dict[str, dict[str, Any]]) -> str:
    """Each model's family and objective, and the cost of its training."""
    learns = [(code(name), card["family"], card["objective"]) for name, card in cards.items()]
    took = [(code(name), f"{card['steps']:,}", f"{card['samples']:,}", f"{card['wall_minutes']:g}",
             f"{card['bytes'] / 2**20:.1f}") for name, card in cards.items()]
    head = ("model", "steps", "samples", "minutes", "MiB")
    return f"{table(('model', 'family', 'learns from'), learns)}\n\n{table(head, took)}"


def geometry_table(cards: dict[str, dict[str, Any]]) -> str:
    """What the paper's rule keeps of the similarities under the shipped weights."""
    measured = {code(name): card["geometry"] for name, card in cards.items() if card.get("geometry")}
    rows = [(name, f"{of['mean']:.2f}", f"{100 * of['kept']:.0f} %", f"{100 * of['alone']:.2f} %",
             f"{of['auc']:.2f}") for name, of in measured.items()]
    whole = table(("model", "mean cosine", "entries kept", "rows alone", "AUC"), rows)
    apart = [name for name, of in measured.items() if of["alone"] > ALONE_LIMIT / 100]
    if not apart:
        return whole
    return f"""{whole}

With {listed(apart)}, more than {ALONE_LIMIT:g} % of the rows keep only themselves. They lie in windows that show little
but one region, where all cosines are near 1 and their mean exceeds 1 / beta; there the rule is the identity."""


def score_tables(scores: dict[str, Any]) -> str:
    """mIoU by method and set, mean and standard deviation over the seeds, the lowest first."""
    grouped = by_method(scores_frame(scores))
    mean, spread = grouped.mean().unstack(), grouped.std().unstack()
    average = mean.mean(axis=1).sort_values()
    rows = [(m, *(f"{mean.loc[m, s]:.1f} ±\u00a0{spread.loc[m, s]:.1f}" for s in mean), f"{average[m]:.1f}")
            for m in average.index]
    return tables(("method", *map(code, mean), "average"), rows)


def pooling(card: dict[str, Any]) -> str:
    """How the training of CLIP favours dense readouts."""
    share = card.get("attention_only")
    steps = "part" if share is None else f"{100 * share:g} %"
    return f"""In {steps} of the steps the class token is pooled by the last block's attention over the patches alone,
without residual and MLP. So the values, which dense readouts average, learn to carry meaning. **This favours every
readout of the values, the proxy's included**, more than the training of a real CLIP does."""


def found_out(measured: dict[str, dict[str, Any]]) -> str:
    """The sections of findings on what has been measured."""
    scores = scores_frame(measured["scores"])
    parts = [f"## Order and controls\n\n{sections.order(scores)}\n{sections.controls(scores)}"]
    if "study" in measured:
        study, settings = frame_of(measured["study"]), measured["study"]["settings"]
        about = f"Seeds {listed(map(str, sorted(set(study['seed']))))}, {settings['scenes']} scenes per set and seed."
        parts.append(f"## Plateau\n\n{about} {sections.plateau(study)}")
        parts.append(f"## Hard masks\n\n{about} {sections.hard_masks(study)}")
    if "floors" in measured:
        parts.append(f"## Requirements\n\n{sections.requirements(measured['floors'])}")
    return "\n".join(parts)


def appendix_text(measured: dict[str, dict[str, Any]], cards: dict[str, dict[str, Any]]) -> str:
    """The appendix in MyST Markdown: training, scores, findings."""
    scores = measured["scores"]
    precision = scores["average_precision"]
    classes = " · ".join(f"{name} {precision[name]:.0f}" for name in CLASSES)
    stuff, things = (np.mean([precision[name] for name in kinds]) for kinds in (STUFF, THINGS))
    tail = scores["longtail"]
    notes = "\n".join(f"- `{name}`: {card['notes']}" for name, card in cards.items() if card.get("notes"))
    differences = f" The\ncards say what was different about the shipped runs:\n\n{notes}" if notes else ""
    seeds = ", ".join(map(str, scores["seeds"]))
    others = "\n\n".join(picture(name) for name in SETS if name not in SHOWN)
    return f"""---
myst:
  html_meta:
    "description": "How the tiny models of this book were trained, what they score, and what their scores show."
---
# Appendix: the tiny models

How the models of the [tiny world](tiny_world.md) were trained, and what they score.

## Training

{models_tables(cards)}

CLIP learns in a curriculum: first from crops of 32 pixels around single things, later from windows of 64 pixels as in
the evaluation. A caption states what is visible in its crop. If it is also true of another image of the batch, that
image does not count as its negative, which only a generated world can know. A second part of the objective takes short
captions, single noun phrases ("a red ball") of what is visible anywhere in the batch, and compares each with every
crop: the crops that show it are its positives, the others its negatives. A quarter of the combinations of colour,
pattern and thing is never named in full by a training caption, although each of their pairs is; `tiny/longtail` asks
for both kinds.

`tiny_sam` learns from masks without names which patches belong together. The other foundation models see neither masks
nor names. They begin with the objective of their family. In so short a training, that objective alone leads to features
that the paper's rule cannot use: in the DINO models, the features of a window pointed in nearly one direction, and most
patches kept only themselves. Each of these models therefore goes on to learn from itself which patches of a window
belong together, **which the published models of these families did not**:

- `tiny_dino`, `tiny_dino8` and `tiny_dinov2` have two more stages. In the first, the model sees one cell of 16 pixels
  at a time and learns to tell patches that lie side by side in a scene from patches drawn at random. In the second, it
  reads whole windows in other colours and learns to agree on pairs of patches with a frozen average of the first
  stage's weights. A penalty keeps the cosines of a window apart.
- `tiny_mae` and `tiny_sd` have one more stage, which also follows the two of `tiny_dino`. A frozen average of the
  model's own weights, the teacher, says which patches look alike. Each window is put together from random shapes of
  three scenes. Patches of different scenes repel each other; those of one scene attract each other where the teacher
  finds them alike and repel where it does not.

`tiny_supervised` is not a foundation model. It represents the fully-supervised methods of section F: a head of
convolutions on the frozen features of `tiny_clip`, trained on masks with the names of the {len(STUFF)} kinds of stuff
and the {len(THINGS)} kinds of things. Its embeddings are compared with CLIP's text embeddings, so that it can also be
asked for the combinations of `tiny/longtail` and `tiny/medley`, which none of its masks named.

In the last stage the cosines of each model approach those of a frozen average of its own weights, changed by a base and
an individual part that are its family's own (the [tiny world](tiny_world.md) says where they come from). The loss is
their squared distance, in which small regions count as much as large ones. The student sees other colours than its
teacher, which reads each window and its mirror image. Except for `tiny_dino8` and `tiny_dinov2`, it reads windows
composed of several scenes, whose patches are to be unlike. The teacher of `tiny_dinov2` averages its features over
neighbours and diffuses them.

Every 50 steps the trainer measures the averaged weights of a foundation model on 32 windows of validation scenes: the
quantiles of the cosines, their mean, the share of entries that the paper's rule keeps, the share of rows that keep only
themselves, and how often a pair of patches of one region is more similar than a pair of two regions (AUC). Masks serve
this measurement alone. The targets were chosen by it, and by scores on validation scenes. The shipped weights measure:

{geometry_table(cards)}

{pooling(cards["tiny_clip"])}

`python -m training.pretrain NAME` trains a model by its recipe and resumes where it was interrupted;
`--start` begins with other weights. `python -m training.ship` puts weights and card into the package;
`--average` takes the mean of trainings that began with the same weights.{differences}

```{{figure}} _static/tiny/curves.svg
:alt: Training loss of every tiny model along its steps, one panel a model.

Training losses (running means) of the last run of each model. A jump marks the start of another stage, which has
another loss: pairs in `tiny_mae`, denoiser and pairs in `tiny_sd`, cells, whole windows and pairs in the DINO models.
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
