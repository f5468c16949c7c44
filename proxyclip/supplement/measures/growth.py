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

import numpy as np
import pandas as pd
import torch

from proxyclip.data.base import Dataset
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.metrics import Confusion
from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.rules import Rule
from proxyclip.segment import ProxyCLIP

#: Queries whose logits are held at the size of the image at a time.
CHUNK = 64


def growth_order(count: int, seed: int) -> np.ndarray:
    """A random order of the classes, the same for every run with this seed."""
    return np.random.Generator(np.random.PCG64(seed)).permutation(count)


@torch.inference_mode()
def vocabulary_growth(
    model: ProxyCLIP, data: Dataset, sizes: Sequence[int], rules: Sequence[Rule], limit: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score growing vocabularies in one pass: columns rule, classes, all (mIoU) and first (mean class accuracy), in %.

    The sizes are numbers of classes, from 2 to all, and ``seed`` is that of the order in which classes are added, each
    with all its queries. A score is NaN where no pixel of the classes occurs.
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
    scores, found = embedded.scores(text), []
    best, query = scores.new_tensor(-torch.inf), query_rank.new_tensor(0)
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        for start in range(first, end, CHUNK):
            maximum, position = embedded.enlarge(scores[:, start : min(start + CHUNK, end)]).max(dim=0)
            query, best = torch.where(maximum > best, position + start, query), torch.maximum(best, maximum)
        found.append(query_rank[query])
    return found


def _first(confusion: Confusion, size: int) -> float:
    """Mean share of correct pixels of the first ``size`` classes, those that occur."""
    hits, pixels, _ = confusion.areas()[:, :size]
    present = pixels > 0
    return float(100 * np.mean(hits[present] / pixels[present])) if present.any() else float("nan")
