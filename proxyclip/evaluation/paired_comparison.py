"""Whether a difference between two scores is real: paired by image, with the classes and images behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from proxyclip.evaluation.result import Evaluation, Row, read_counts, read_result
from proxyclip.evaluation.spread import ImageCounts, class_iou, draws_of, mean_iou

#: Separates a file and the name of one of its rules: ``run.json::qq``.
OF_RULE = "::"

#: Resamples of the paired bootstrap; they give a p-value of 0.05 to within 0.005.
RESAMPLES = 2000

#: A result as :func:`compare` takes it: an evaluation, or the path of one; with ``(result, rule)`` one rule of it.
ResultLike = Evaluation | str | PathLike[str] | tuple[Evaluation | str | PathLike[str], str]


@dataclass(frozen=True)
class Scored:
    """The counts of every image under one rule."""

    name: str  #: Of the result, for tables.
    rule: str
    dataset: str
    card: dict[str, str]  #: Name and hash of the protocol card.
    #: Names of the classes, and of the counted images.
    classes: list[str]
    ids: list[str]
    table: np.ndarray  #: (images, 3, classes) int64: correct, annotated and predicted pixels, in the order of ``ids``.


@dataclass(frozen=True)
class Comparison:
    """The second of two scores minus the first, on the images that both have."""

    #: What is compared.
    first: str
    second: str
    images: int
    miou: tuple[float, float]  #: Per cent, of the first and of the second.
    #: Points of mIoU, and the paired bootstrap standard error.
    difference: float
    error: float
    interval: tuple[float, float]  #: The central 95 % of the resampled differences.
    p: float  #: Two-sided: twice the smaller share of resamples on one side of zero.
    #: Columns class, first, second, difference (IoU, per cent), the largest gain first.
    classes: pd.DataFrame = field(repr=False)
    per_image: pd.DataFrame = field(repr=False)  #: The same for every image, its mIoU over the classes in it.
    notes: tuple[str, ...] = ()  #: What a reader has to know, such as other protocol cards.

    def row(self) -> dict[str, Any]:
        """The comparison in one row of a table."""
        return {"first": self.first, "second": self.second, "images": self.images, "miou_first": self.miou[0],
                "miou_second": self.miou[1], "difference": self.difference, "error": self.error,
                "low": self.interval[0], "high": self.interval[1], "p": self.p}

    def moved(self, what: str = "classes", count: int = 10) -> pd.DataFrame:
        """The ``count`` rows of ``classes`` or ``per_image`` that gained most, and those that lost most."""
        frame = {"classes": self.classes, "per_image": self.per_image}[what]
        gained, lost = frame[frame["difference"] > 0].head(count), frame[frame["difference"] < 0].tail(count)
        return pd.concat([gained, lost], ignore_index=True)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {**self.row(), "notes": list(self.notes), "classes": self.classes.to_dict("records"),
                "per_image": self.per_image.to_dict("records")}


def compare(*results: ResultLike, resamples: int = RESAMPLES, seed: int = 0) -> list[Comparison]:
    """Compare scores on the images that they share, paired by image.

    Parameters
    ----------
    *results : Evaluation, path, or (either, name of a rule)
        The first is what the others are compared with, rule by rule: rules of the same name, or the only ones. A
        single result has its first rule compared with each of its others. In a path, ``run.json::qq`` names a rule.
    resamples : int
        Sets drawn from the images with replacement, the same for both scores.
    seed : int

    Raises
    ------
    FileNotFoundError, ValueError
        If a result cannot be read or lacks a rule, or two of them have other classes, other labels or no image in
        common.

    Examples
    --------
    >>> import proxyclip as pc
    >>> from proxyclip.evaluation.evaluator import run
    >>> found = run(pc.load(vfm="tiny_sam"), "tiny/voc20", ["qq", "adaptive"], limit=4)
    >>> (comparison,) = pc.compare(found)
    >>> comparison.first, comparison.second, comparison.images
    ('qq', 'adaptive:1.2,3', 4)
    >>> comparison.interval[0] <= comparison.difference <= comparison.interval[1]
    True
    """
    if resamples < 1:
        raise ValueError(f"resamples must be positive, got {resamples}")
    if not results:
        raise ValueError("give at least one result to compare")
    rows = [rows_of_result(result) for result in results]
    pairs = [(rows[0][0], other) for other in rows[0][1:]] if len(rows) == 1 else [
        pair for other in rows[1:] for pair in _matched(rows[0], other)]
    if not pairs:
        raise ValueError(f"{rows[0][0].name} has one rule only; give another result to compare it with")
    return [_compared(first, second, resamples, seed) for first, second in pairs]


def rows_of_result(result: ResultLike) -> list[Scored]:
    """The counts of each rule of a result, or of the one that is named; arguments as for :func:`compare`."""
    result, rule = result if isinstance(result, tuple) else (result, None)
    if isinstance(result, Evaluation):
        name, settings = "", result.settings
        rules, classes, ids, images = result.rules, result.classes, result.ids, result.tally.images
    else:
        path, _, named = str(result).partition(OF_RULE)
        rule, name, settings = rule or named or None, Path(path).stem, read_result(path)["settings"]
        names, images = read_counts(path)
        rules, classes, ids = names.rules, names.classes, names.ids
    chosen = range(len(rules)) if rule is None else [_number_of(rule, rules, name or "the evaluation")]
    counted = [ids[index] for index in sorted(images.counts)]
    return [Scored(name, rules[number], settings["dataset"]["name"], settings["card"], classes, counted,
                   _table_of(images, number, len(classes))) for number in chosen]


def _table_of(images: ImageCounts, rule: int, classes: int) -> np.ndarray:
    """Counts under one rule, (images, 3, classes), without those under the others."""
    size = 3 * classes
    table = np.zeros((len(images.counts), size), np.int64)
    for row, index in zip(table, sorted(images.counts), strict=True):
        cells, counts = images.counts[index]
        low, high = np.searchsorted(cells, (rule * size, (rule + 1) * size))
        row[cells[low:high] - rule * size] = counts[low:high]
    return table.reshape(-1, 3, classes)


def _number_of(rule: str, rules: Sequence[str], where: str) -> int:
    names = [rule]
    with suppress(ValueError):  # predictions from files have any name
        names.append(str(Row.named(rule)))
    for name in names:
        if name in rules:
            return rules.index(name)
    raise ValueError(f"{where} has no rule {rule}; it has {', '.join(rules)}")


def _matched(first: Sequence[Scored], second: Sequence[Scored]) -> Iterator[tuple[Scored, Scored]]:
    if len(first) == len(second) == 1:
        yield first[0], second[0]
        return
    others = {row.rule: row for row in second}
    pairs = [(row, others[row.rule]) for row in first if row.rule in others]
    if not pairs:
        raise ValueError(f"{first[0].name} and {second[0].name} have no rule in common; name one of each, such as "
                         f"FILE{OF_RULE}{first[0].rule}")
    yield from pairs


def _compared(first: Scored, second: Scored, resamples: int, seed: int) -> Comparison:
    names = _names(first, second)
    notes = _obstacles(first, second, names)
    shared = sorted(set(first.ids) & set(second.ids))
    tables = []
    for row in (first, second):
        place = {name: number for number, name in enumerate(row.ids)}
        tables.append(row.table[[place[name] for name in shared]])
    wrong = np.flatnonzero((tables[0][:, 1] != tables[1][:, 1]).any(axis=1))
    if len(wrong):
        raise ValueError(f"{names[0]} and {names[1]} were scored against other labels: the annotated pixels of "
                         f"{shared[wrong[0]]} differ, and those of {len(wrong) - 1} more images")
    draws = draws_of(len(shared), seed, resamples).astype(np.float64)
    drawn = [mean_iou((draws @ table.reshape(len(shared), -1)).reshape(resamples, 3, -1))
             for table in (table.astype(np.float64) for table in tables)]
    totals = [table.sum(axis=0) for table in tables]
    scores = [float(mean_iou(total)) for total in totals]
    differences = drawn[1] - drawn[0]
    share = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    low, high = np.percentile(differences, (2.5, 97.5))
    return Comparison(
        names[0], names[1], len(shared), (scores[0], scores[1]), scores[1] - scores[0],
        float(differences.std(ddof=1)) if resamples > 1 else float("nan"), (float(low), float(high)),
        min(1.0, 2 * (share + 1) / (resamples + 1)),
        _moved("class", first.classes, *(class_iou(total) for total in totals)),
        _moved("image", shared, *(mean_iou(table) for table in tables)), tuple(notes),
    )


def _names(first: Scored, second: Scored) -> tuple[str, str]:
    """Short names that tell two scores apart: by result, by rule or by both."""
    if first.name == second.name:
        return first.rule, second.rule
    if first.rule == second.rule:
        return first.name, second.name
    return f"{first.name}{OF_RULE}{first.rule}", f"{second.name}{OF_RULE}{second.rule}"


def _obstacles(first: Scored, second: Scored, names: tuple[str, str]) -> list[str]:
    """Sentences about what differs besides the method; raises ``ValueError`` where nothing can be compared."""
    if first.classes != second.classes:
        other = next((f"number {number} is {a} and {b}" for number, (a, b)
                      in enumerate(zip(first.classes, second.classes, strict=False)) if a != b), "")
        raise ValueError(f"{names[0]} has {len(first.classes)} classes and {names[1]} {len(second.classes)}; their "
                         f"class lists differ{other and f': {other}'}")
    shared = len(set(first.ids) & set(second.ids))
    if shared < 2:
        raise ValueError(f"{names[0]} and {names[1]} share {shared} images; a comparison needs two")
    notes = []
    if first.card["sha256"] != second.card["sha256"]:
        notes.append(f"they were evaluated under different protocols: {first.card['name']} and {second.card['name']}")
    if first.dataset != second.dataset:
        notes.append(f"their sets are {first.dataset} and {second.dataset}")
    for name, row in zip(names, (first, second), strict=True):
        if len(row.ids) > shared:
            notes.append(f"{len(row.ids) - shared} images of {name} are left out, which the other does not have")
    return notes


def _moved(what: str, names: Sequence[str], first: np.ndarray, second: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame({what: list(names), "first": first, "second": second, "difference": second - first})
    frame = frame[frame[["first", "second"]].notna().any(axis=1)]
    return frame.sort_values("difference", ascending=False, kind="stable", ignore_index=True)
