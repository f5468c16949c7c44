"""Labels made from a few queries at a time are those of the whole softmax."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.windows import window_boxes, window_padding
from proxyclip.text import TextEmbeddings, Vocabulary


def _embedding(size=(30, 41), working=(24, 33), crop=16, grid=4, width=8, seed=0) -> DenseEmbedding:
    torch.manual_seed(seed)
    boxes = window_boxes(*working, crop, crop // 2)
    windows = torch.nn.functional.normalize(torch.randn(len(boxes), width, grid, grid), dim=1)
    return DenseEmbedding(windows, tuple(boxes), window_padding(crop, crop, 8, crop), working, size)


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
@pytest.mark.parametrize("chunk", [1, 17, 40, 1000, None])
def test_chunks_of_any_size_give_the_labels_of_the_definition(chunk, threshold):
    embedding, text = _embedding(), _text(35)
    labels = labels_from_embedding(embedding, text, threshold, chunk)
    reference = _reference(embedding, text, threshold)
    assert (labels.numpy() == reference).all()
    assert labels.dtype == torch.int64 and labels.shape == (30, 41)
    assert 5 < len(np.unique(reference))  # the comparison is about something
    assert threshold is None or 0.02 < (reference == 0).mean() < 0.98


def test_equal_logits_go_to_the_lower_class_whatever_the_chunks():
    text = _text(24)  # 48 queries, whole groups: equal queries then have equal logits
    vectors = text.embeddings.clone()
    vectors[-3:] = vectors[:3]  # the last class says what the first two say
    text = TextEmbeddings(text.vocabulary, vectors)
    embedding = _embedding()
    whole = labels_from_embedding(embedding, text, chunk=1000)
    assert (whole == labels_from_embedding(embedding, text, chunk=16)).all()
    assert (whole == 0).any() and not (whole == 23).any()


def test_several_chunks_are_really_made(monkeypatch):
    calls = []
    enlarge = DenseEmbedding.enlarge
    monkeypatch.setattr(DenseEmbedding, "enlarge", lambda self, s: calls.append(s.shape[1]) or enlarge(self, s))
    labels_from_embedding(_embedding(), _text(35), chunk=20)
    assert sum(calls) == 69 and calls == [32, 37]
    calls.clear()
    labels_from_embedding(_embedding(), _text(35), chunk=16)
    assert calls == [16, 16, 16, 21]


def test_rows_of_logits_do_not_depend_on_the_rows_made_with_them():
    embedding, text = _embedding(), _text(35)
    scores = embedding.scores(text.embeddings)
    whole = embedding.logits(text.embeddings)
    for start, end in ((0, 16), (16, 48), (48, 69)):
        assert torch.equal(embedding.enlarge(scores[:, start:end]), whole[start:end])


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ValueError, match="prob_threshold must lie in"):
        labels_from_embedding(_embedding(), _text(3), threshold)
    with pytest.raises(ValueError, match="chunk must be a positive number of queries"):
        labels_from_embedding(_embedding(), _text(3), chunk=0)
