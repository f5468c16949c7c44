"""Labels made from a few rows at a time are those of the whole softmax."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import BLOCK_BYTES, labels_from_embedding
from proxyclip.inference.windows import Placement, window_boxes, window_padding
from proxyclip.text import TextEmbeddings, Vocabulary


def _embedding(size=(30, 41), working=(24, 33), crop=16, grid=4, width=8, seed=0) -> DenseEmbedding:
    torch.manual_seed(seed)
    boxes = window_boxes(*working, crop, crop // 2)
    windows = torch.nn.functional.normalize(torch.randn(len(boxes), width, grid, grid), dim=1)
    return DenseEmbedding(windows, Placement(boxes, window_padding(crop, crop, 8, crop), working, size))


def _text(classes: int, width: int = 8, seed: int = 1) -> TextEmbeddings:
    """Classes with one, two or three queries."""
    torch.manual_seed(seed)
    entries = ["; ".join(f"word {k}-{q}" for q in range(1 + k % 3)) for k in range(classes)]
    vocabulary = Vocabulary.parse(entries)
    return TextEmbeddings(vocabulary, torch.nn.functional.normalize(torch.randn(len(vocabulary.queries), width)))


def _reference(embedding: DenseEmbedding, text: TextEmbeddings, threshold: float | None) -> np.ndarray:
    """The definition in double precision: softmax over all queries, maximum within each class, arg max."""
    logits = embedding.logits(text.embeddings).double().numpy()
    probabilities = softmax(40 * logits, axis=0)
    owners = np.array(text.vocabulary.class_of_query)
    by_class = np.stack([probabilities[owners == k].max(axis=0) for k in range(len(text.vocabulary))])
    labels = by_class.argmax(axis=0)
    return labels if threshold is None else np.where(by_class.max(axis=0) < threshold, 0, labels)


@pytest.mark.parametrize("threshold", [None, 0.2, 0.45])
@pytest.mark.parametrize("held", [1, 40_000, 10**9])
def test_blocks_of_any_number_of_rows_give_the_labels_of_the_definition(monkeypatch, held, threshold):
    monkeypatch.setitem(BLOCK_BYTES, "cpu", held)
    embedding, text = _embedding(), _text(35)
    labels = labels_from_embedding(embedding, text, threshold)
    reference = _reference(embedding, text, threshold)
    assert (labels.numpy() == reference).all()
    assert labels.dtype == torch.int64 and labels.shape == (30, 41)
    assert 5 < len(np.unique(reference))  # the comparison is about something
    assert threshold is None or 0.02 < (reference == 0).mean() < 0.98


@pytest.mark.parametrize("classes", [3, 8, 9, 24, 35])
def test_equal_queries_go_to_the_lower_class(classes):
    text = _text(classes)
    vectors = text.embeddings.clone()
    vectors[torch.tensor(text.vocabulary.class_of_query) == classes - 1] = vectors[0].clone()  # the same words
    embedding = _embedding()
    labels = labels_from_embedding(embedding, TextEmbeddings(text.vocabulary, vectors))
    assert (labels == 0).any() and not (labels == classes - 1).any()


def test_no_more_than_a_block_is_held():
    embedding, text = _embedding(), _text(35)
    blocks = list(embedding.rows(text.embeddings, 4 * 69 * 41 * 7))  # seven rows of 69 queries and 41 pixels
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 2]
    assert (torch.cat(blocks).transpose(0, 1) - embedding.logits(text.embeddings)).abs().max() < 1e-6


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ValueError, match="prob_threshold must lie in"):
        labels_from_embedding(_embedding(), _text(3), threshold)


def test_a_threshold_of_zero_keeps_every_label_and_one_of_one_none():
    embedding, text = _embedding(), _text(3)
    assert torch.equal(labels_from_embedding(embedding, text, 0.0), labels_from_embedding(embedding, text))
    assert not labels_from_embedding(embedding, text, 1.0).any()


def test_a_threshold_that_every_pixel_nearly_has_is_compared_in_double_precision():
    embedding, text = _embedding(), _text(35)
    alike = replace(embedding, windows=embedding.windows[:1, :, :1, :1].expand_as(embedding.windows))
    best = softmax(40 * alike.logits(text.embeddings).double().numpy(), axis=0).max(axis=0)
    low, high = (labels_from_embedding(alike, text, factor * float(best.mean())) for factor in (1 - 1e-5, 1 + 1e-5))
    assert low.all() and not high.any()
