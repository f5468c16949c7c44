"""Section F: every method on large vocabularies, and combinations of words that no caption contained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from proxyclip.evaluation.metrics import Confusion
from proxyclip.evaluation.result import Evaluation
from proxyclip.rules import GEM, SCLIP, Adaptive, Identity, MaskCLIP, Rule, Vanilla
from proxyclip.supplement import paper
from proxyclip.supplement.claims.claim import enumerated, pivot
from proxyclip.supplement.claims.reasons import NOVELTY
from proxyclip.supplement.display_names import method_of, proxies_apart
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.figures.tables import Shown, note
from proxyclip.supplement.records import table

#: The row of ``tiny_supervised``, among the fully-supervised methods.
SUPERVISED = "segmenter on CLIP (masks of the training vocabulary)"


def published_gem(blocks: int) -> GEM:
    """GEM on the share of CLIP's blocks that the authors' package re-reads: 6 of 12, so half of them, rounded up."""
    return GEM(depth=-(-blocks // 2))


def blocks_of(run: Experiment) -> int:
    """Number of blocks of CLIP's image tower."""
    return len(run.model().clip.model.visual.transformer.resblocks)


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
        paper.NOT_PRINTED: [gem, replace(gem, readout="attention"), Identity()],
        paper.BARE: [Vanilla("attention"), MaskCLIP("attention"), SCLIP("attention")],
    }


def measure(run: Experiment) -> dict[str, Evaluation]:
    """Score every rule on every set, and keep the records under their place in Table 4.

    Returns
    -------
    dict of set to Evaluation
        Of all rules, with the chapter's first VFM and the first seed.
    """
    places = compared(blocks_of(run))
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

    run.models.beside[NAME] = shipped_head()
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
    shown = [paper.FULL, paper.WEAK, paper.FREE, paper.BARE, paper.NOT_PRINTED]
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


def by_set(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """mIoU without training, measured and printed: a row per set, a column per method, ProxyCLIP once with each VFM."""
    sets = frame.drop_duplicates("stands_for").set_index("stands_for")["dataset"]
    measured, printed = (_without_training(part).rename(index=sets) for part in (frame, table(paper.published("F"))))
    return measured, printed


def _without_training(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame[(frame["metric"] == "miou") & (frame["dataset"] != "average") & frame["setting"].isin(
        [paper.FREE, paper.NOT_PRINTED]) & ~frame["rule"].str.endswith("/attention")]
    return proxies_apart(frame).pivot_table(index="stands_for", columns="method", values="value", sort=False)


def blocks_of_gem(blocks: int) -> Shown:
    """Which of CLIP's blocks GEM re-reads here and in the paper, in a sentence."""
    return note(
        f"GEM re-reads the last {published_gem(blocks).depth} of this CLIP's {blocks} blocks. The authors' package "
        f"re-reads {published_gem(12).depth} of the 12 blocks of ViT-B/16, although its default is called depth=7; "
        "the paper's text speaks of seven.")


def readings_of_baselines(frame: pd.DataFrame) -> Shown:
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
    return note(" ".join(sentences) or "No baseline was read in both ways.")


#: Groups, in the order of a table.
TEXTURE, CAPTIONED, NEVER = NOVELTY


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
    return values.reindex(list(NOVELTY)).dropna(how="all").assign(classes=counts)


def of_combinations(groups: pd.DataFrame, rule: str) -> Shown:
    """What a rule scores on combinations that a caption named and on those that none did, in a sentence.

    Parameters
    ----------
    groups : DataFrame
        Of :func:`by_novelty`.
    rule : str
    """
    if not {CAPTIONED, NEVER} <= set(groups.index):
        return note("Both groups of combinations do not occur in these scenes.")
    parts = (f"{groups.loc[group, rule]:.1f} on the {groups.loc[group, 'classes']:.0f} {group}"
             for group in (CAPTIONED, NEVER))
    rest = [name for name in groups if name not in (rule, "classes") and groups.loc[[CAPTIONED, NEVER], name].max() < 1]
    none = f" {enumerated(map(method_of, rest))} find next to none of either." if rest else ""
    return note(f"{method_of(rule)} scores {' and '.join(parts)}, few classes each.{none}")
