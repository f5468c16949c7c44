"""Vocabulary growth: what happens to the score as classes are added to the question (section F).

The words of a vocabulary are put in a random order and taken in steps. At each step only the words so far can be
answered, in one pass over the images for all steps and rules. Two scores are kept apart:

- ``all``: mIoU over the classes so far, on the pixels of these classes. Both the questions and the answers grow.
- ``first``: the share of the pixels of each class of the first step that is labelled correctly, averaged over these
  classes. Only the answers grow, and a pixel that is right among many was right among few, so this score cannot rise:
  what it loses is lost to distractors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from proxyclip.data.base import Dataset
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.metrics import Confusion
from proxyclip.evaluation.result import Evaluation
from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.rules import GEM, SCLIP, Adaptive, Identity, MaskCLIP, Rule, Vanilla
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import pivot
from proxyclip.supplement.display_names import method_of, proxies_apart
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.figures import tables
from proxyclip.supplement.figures.layout import BookFigure, show
from proxyclip.supplement.figures.plots import lines

#: Queries whose logits are held at the size of the image at a time.
CHUNK = 64


#: Settings of the records: in which rows of the table a rule stands.
NOT_PRINTED = "not in Table 4"
#: The row of ``tiny_supervised``, among the fully-supervised methods.
SUPERVISED = "segmenter on CLIP (masks of the training vocabulary)"


def published_gem(blocks: int) -> GEM:
    """GEM on the share of CLIP's blocks that the authors' package re-reads: 6 of 12, so half of them, rounded up."""
    return GEM(depth=-(-blocks // 2))


def compared(blocks: int) -> dict[str, list[Rule]]:
    """The rules of the chapter by their place in Table 4.

    Parameters
    ----------
    blocks : int
        Of CLIP's image tower, for :func:`published_gem`.
    """
    gem = published_gem(blocks)
    return {
        paper.FREE: [Vanilla(), MaskCLIP(), SCLIP(), Adaptive()],
        NOT_PRINTED: [gem, replace(gem, readout="attention"), Identity()],
        paper.BARE: [Vanilla("attention"), MaskCLIP("attention"), SCLIP("attention")],
    }


def measure(run: Experiment) -> dict[str, Evaluation]:
    """Score every rule on every set, and keep the records under their place in Table 4.

    Returns
    -------
    dict of set to Evaluation
        Of all rules, with the chapter's first VFM and the first seed.
    """
    places = compared(len(run.model().clip.model.visual.transformer.resblocks))
    setting = {rule.name: place for place, rules in places.items() for rule in rules}
    found = {}
    for (name, vfm, seed), evaluation in run.measure([rule for rules in places.values() for rule in rules],
                                                     setting).items():
        _record_textures(run, evaluation, name, vfm, seed)
        if vfm == run.vfm and seed in (None, run.seed):
            found[name] = evaluation
    _measure_supervised(run)
    return found


def _measure_supervised(run: Experiment) -> None:
    """Score the supervised reference on generated sets; it fits no CLIP but the shipped tiny one."""
    if run.profile != "tiny" or run.parameters.get("clip") or run.parameters.get("clip_weights"):
        return
    from proxyclip.tiny.supervised import NAME, Supervised, shipped_head

    run.also_reads(NAME, shipped_head())
    for name in run.sets:
        for seed, data in run.scenes(name):
            evaluation = run.evaluate(None, data, [Supervised()])
            of_set = {"dataset": name, "method": SUPERVISED, "seed": seed, "n": evaluation.images}
            ((rule, scores),) = evaluation.scores().items()
            run.record("miou", scores.miou, "%", setting=paper.FULL, error=evaluation.standard_errors()[rule], **of_set)
            run.record("absent_classes", absent_classes(evaluation.tally.confusions[0]), setting=paper.FULL, **of_set)
            for group, value in by_novelty(evaluation.per_class())[rule].items():
                run.record("miou", value, "%", setting=group, **of_set)


def _record_textures(run: Experiment, evaluation: Evaluation, name: str, vfm: str | None, seed: int | None) -> None:
    """Keep how many pixels of combined classes each rule labels with a bare texture, on generated sets."""
    if run.profile != "tiny":
        return
    combined = np.array([group_of(one) != TEXTURE for one in evaluation.classes])
    for rule, confusion in zip(evaluation.rules, evaluation.tally.confusions, strict=True):
        if rule == Adaptive().name:
            run.record("absent_classes", absent_classes(confusion), dataset=name, rule=rule, vfm=vfm, seed=seed,
                       n=evaluation.images)
        pixels = confusion.counts[combined].sum()
        if pixels and combined.any() and not combined.all():
            share = 100 * confusion.counts[combined][:, ~combined].sum() / pixels
            run.record("answered_texture", share, "%", dataset=name, rule=rule, n=evaluation.images, seed=seed,
                       vfm=vfm if rule in (Adaptive().name, Identity().name) else "")


def absent_classes(confusion: Confusion) -> int:
    """Number of classes that are answered somewhere and occur nowhere; each counts as 0 in the mIoU."""
    answered, occurring = confusion.counts.sum(axis=0) > 0, confusion.counts[: confusion.classes].sum(axis=1) > 0
    return int((answered & ~occurring).sum())


def as_table_4(frame: pd.DataFrame, values: str = "value") -> pd.DataFrame:
    """mIoU in the form of Table 4: a row per method and setting (and VFM), a column per benchmark, and the average."""
    frame = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average")]
    shown = [paper.FULL, paper.WEAK, paper.FREE, paper.BARE, NOT_PRINTED]
    frame = frame[frame["setting"].isin(shown)]
    frame = proxies_apart(frame)
    row = frame["method"] + np.where(frame["rule"].str.startswith("gem") & frame["rule"].str.endswith("attention"),
                                     " (attention alone)", "") + ", " + frame["setting"]
    frame = frame.assign(row=row)
    wide = pivot(frame, "row", "stands_for", values)
    order = frame.drop_duplicates("row").set_index("row")
    bases = list(dict.fromkeys(order["method"].str.partition(" (")[0]))
    wide = wide.loc[sorted(wide.index, key=lambda name: (
        shown.index(order.loc[name, "setting"]), bases.index(order.loc[name, "method"].partition(" (")[0])))]
    wide = wide.assign(average=wide.mean(axis=1).where(wide.notna().all(axis=1)))
    return wide.rename(columns=paper.COLUMN_OF_BENCHMARK)


def by_set(frame: pd.DataFrame, sets: dict[str, str]) -> pd.DataFrame:
    """mIoU without training: a row per set, a column per method, ProxyCLIP once with each VFM.

    Parameters
    ----------
    frame : DataFrame
    sets : dict of benchmark to the name of the set that stands for it
    """
    frame = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average") & frame["setting"].isin(
        [paper.FREE, NOT_PRINTED]) & ~frame["rule"].str.endswith("/attention")]
    wide = proxies_apart(frame).pivot_table(index="stands_for", columns="method", values="value", sort=False)
    return wide.rename(index=sets)


def blocks_of_gem(blocks: int) -> tables.Note:
    """Which of CLIP's blocks GEM re-reads here and in the paper, in a sentence."""
    return tables.Note(
        f"GEM re-reads the last {published_gem(blocks).depth} of this CLIP's {blocks} blocks. The authors' package "
        f"re-reads {published_gem(12).depth} of the 12 blocks of ViT-B/16, although its default is called depth=7; "
        "the paper's text speaks of seven.")


def readings_of_baselines(frame: pd.DataFrame) -> tables.Note:
    """What the two readings of the baselines score, and what their pixels are answered with, in a few sentences."""
    rows = frame[frame["setting"].isin([paper.FREE, paper.BARE])]  # without those of growing vocabularies
    miou = rows[rows["metric"] == "miou"].groupby("rule")["value"].mean()
    texture = frame[frame["metric"] == "answered_texture"].groupby("rule")["value"].mean()
    sentences = []
    for kept in (Vanilla(), MaskCLIP(), SCLIP()):
        bare = f"{kept.name}/attention"
        if kept.name in miou and bare in miou and kept.name in texture and bare in texture:
            sentences.append(
                f"{method_of(kept.name)} scores {miou[kept.name]:.1f} with residual connection and MLP and "
                f"{miou[bare]:.1f} without; of the pixels of combined classes it labels {texture[kept.name]:.0f} % and "
                f"{texture[bare]:.0f} % with a bare texture.")
    return tables.Note(" ".join(sentences) or "No baseline was read in both ways.")


def growth_order(count: int, seed: int) -> np.ndarray:
    """A random order of the classes, the same for every run with this seed."""
    return np.random.Generator(np.random.PCG64(seed)).permutation(count)


@torch.inference_mode()
def vocabulary_growth(
    model: ProxyCLIP, data: Dataset, sizes: Sequence[int], rules: Sequence[Rule], limit: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score growing vocabularies in one pass.

    Parameters
    ----------
    model : ProxyCLIP
    data : Dataset
        With one query per class or several; a class enters with all its queries.
    sizes : sequence of int
        Numbers of classes, from 2 to all.
    rules : sequence of Rule
    limit : int, optional
        Only the first ``limit`` images.
    seed : int
        Of the order in which classes are added.

    Returns
    -------
    pandas.DataFrame
        Columns rule, classes, all (mIoU), first (mean class accuracy), both in per cent; NaN where no pixel of the
        classes occurs.

    Raises
    ------
    ValueError
        If a size is not between 2 and the number of classes.
    """
    total = len(data.vocabulary)
    sizes = sorted(set(sizes))
    if wrong := [size for size in sizes if not 2 <= size <= total]:
        raise ValueError(f"a vocabulary size must be between 2 and {total}, got {wrong[0]}")
    order = growth_order(total, seed)
    rank = np.empty(total, dtype=np.int64)  # place of each class in the order
    rank[order] = np.arange(total)
    text = model.encode_classes(data.vocabulary)
    query_rank = rank[np.asarray(text.vocabulary.class_of_query)]
    by_rank = np.argsort(query_rank, kind="stable")
    query_rank = torch.from_numpy(query_rank[by_rank]).to(model.device)
    embeddings = text.embeddings[torch.from_numpy(by_rank).to(text.embeddings.device)]
    ends = [int((query_rank < size).sum()) for size in sizes]
    confusions = [[Confusion(size) for size in sizes] for _ in rules]
    model = under_protocol(model, data)
    for sample in data.first(limit):
        truth = np.where(sample.labels >= 0, rank[np.maximum(sample.labels, 0)], -1)
        for number, embedded in enumerate(model.embed(np.array(sample.image), rules)):
            for step, labels in enumerate(_labels_at(embedded, embeddings, query_rank, ends)):
                confusions[number][step].update(labels, np.where(truth < sizes[step], truth, -1))
    return pd.DataFrame([
        {"rule": rule.name, "classes": size, "all": confusion.compute().miou, "first": _first(confusion, sizes[0])}
        for rule, row in zip(rules, confusions, strict=True)
        for size, confusion in zip(sizes, row, strict=True)
    ])


def _labels_at(
    embedded: DenseEmbedding, text: torch.Tensor, query_rank: torch.Tensor, ends: Sequence[int]
) -> list[torch.Tensor]:
    """Labels of each vocabulary, from the running maximum over the queries in the order in which they enter.

    A softmax keeps the order, so the class of the largest logit is the class of the largest probability.
    """
    scores = embedded.scores(text)
    found, best, query = [], None, None
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        for start in range(first, end, CHUNK):
            maximum, position = embedded.enlarge(scores[:, start : min(start + CHUNK, end)]).max(dim=0)
            position = position + start
            query = position if best is None else torch.where(maximum > best, position, query)
            best = maximum if best is None else torch.maximum(best, maximum)
        found.append(query_rank[query])
    return found


def _first(confusion: Confusion, size: int) -> float:
    """Mean share of correct pixels of the first ``size`` classes, those that occur."""
    pixels = confusion.counts[:size].sum(axis=1)
    present = pixels > 0
    if not present.any():
        return float("nan")
    return float(100 * np.mean(confusion.counts.diagonal()[:size][present] / pixels[present]))

#: Groups, in the order of a table.
TEXTURE, CAPTIONED, NEVER = "textures", "combinations that were captioned", "combinations that never were"


def group_of(name: str) -> str:
    """Group of a class of a generated large vocabulary: a texture, or a combination seen or not seen in training."""
    from proxyclip.tiny.world.classes import STUFF, held_out

    if name in STUFF or len(name.split(" ")) != 3:
        return TEXTURE
    return NEVER if held_out(*name.split(" ")) else CAPTIONED


def by_novelty(per_class: pd.DataFrame) -> pd.DataFrame:
    """Mean IoU of each group of classes.

    Parameters
    ----------
    per_class : DataFrame
        As :meth:`proxyclip.evaluation.result.Evaluation.per_class` gives it, of ``tiny/longtail``.

    Returns
    -------
    DataFrame
        A row per group with the number of its classes that occur, a column per rule: mIoU in per cent.
    """
    frame = per_class[per_class["pixels"] > 0]
    frame = frame.assign(group=[group_of(name) for name in frame["class"]])
    values = frame.pivot_table(index="group", columns="rule", values="iou", sort=False)
    counts = frame.groupby("group")["class"].nunique()
    return values.reindex([TEXTURE, CAPTIONED, NEVER]).dropna(how="all").assign(classes=counts)


def growth_curves(growth: pd.DataFrame, note: str) -> BookFigure:
    """Scores along the number of classes: mIoU over all of them, and correct pixels of those of the first step."""
    panels, alts, seen = [], [], []
    for column, title, axis in (("all", "All classes so far", "mIoU, %"),
                                ("first", "The first classes only", "correct pixels, mean of classes, %")):
        curves = {method: part.set_index("classes")[column] for method, part in growth.groupby("method", sort=False)}
        panels.append(lines(curves, "classes in the vocabulary", axis, title))
        alts.append("; ".join(f"{method}: {curve.iloc[0]:.1f} with {curve.index[0]} classes, {curve.iloc[-1]:.1f} with "
                              f"{curve.index[-1]}" for method, curve in curves.items()) + ".")
        kept = ", ".join(f"{method} keeps {100 * curve.iloc[-1] / curve.iloc[0]:.0f} %"
                         for method, curve in curves.items() if curve.iloc[0] > 0)
        first = next(iter(curves.values()))
        seen.append(f"{title}, from {first.index[0]} to {first.index[-1]} words: {kept} of its score.")
    return show(panels, f"Scores as classes are added; {note}.", alts, " ".join(seen))
