"""From embeddings to labels: scores, probabilities and the best class of every pixel, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.text import TextEmbeddings

#: Inverse temperature of the softmax over queries.
LOGIT_SCALE = 40.0

#: Bytes of logits at the size of the image that are held at a time. On the CPU these are a few megabytes, which stay in
#: the cache; blocks of more than 32 MiB would also be allocated and freed every time.
CHUNK_BYTES = {"cpu": 4 * 2**20, "cuda": 32 * 2**20}

#: Chunks start at multiples of this number of queries. Resizing computes queries in groups of a vector's width and the
#: remaining ones singly, with other rounding. With whole groups a row is bit for bit what resizing all queries gives.
GROUP = 16


def labels_from_embedding(
    embedding: DenseEmbedding,
    text: TextEmbeddings,
    prob_threshold: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Label of each pixel, from a few queries at a time.

    The probability of a class is the maximum over its queries of a softmax over all queries. A softmax keeps the order,
    so the label is the class of the largest logit, and only the threshold needs the denominator. Both can be updated
    from chunk to chunk: the maximum so far with its query, and the sum of exponentials relative to that maximum. Among
    equal logits the lower class wins.

    Parameters
    ----------
    embedding : DenseEmbedding
    text : TextEmbeddings
        Q queries.
    prob_threshold : float, optional
        In [0, 1]. Where the best probability is below it, the label is 0 (background).
    chunk : int, optional
        Queries at a time, rounded up to a multiple of ``GROUP``; by default as many as fit into ``CHUNK_BYTES`` at the
        size of the image. It does not change the result.

    Returns
    -------
    (H, W) int64, on the device of the embedding

    Raises
    ------
    ValueError
        If the threshold is outside [0, 1] or ``chunk`` is not positive.
    """
    if prob_threshold is not None and not 0 <= prob_threshold <= 1:
        raise ValueError(f"prob_threshold must lie in [0, 1], got {prob_threshold}")
    height, width = embedding.size
    if chunk is None:
        held = CHUNK_BYTES.get(embedding.windows.device.type, CHUNK_BYTES["cuda"])
        chunk = max(1, held // (4 * height * width))
    if chunk < 1:
        raise ValueError(f"chunk must be a positive number of queries, got {chunk}")
    best = query = total = None
    for start, logits in _chunks(embedding, text.embeddings, chunk):
        maximum = logits.amax(dim=0)
        position = start + _first(logits, maximum)
        if best is None:
            if prob_threshold is not None:
                one_chunk = len(logits) == len(text.embeddings)
                total = _approximate(logits, maximum, prob_threshold) if one_chunk else _exponentials(logits, maximum)
            best, query = maximum, position
            continue
        higher = torch.maximum(best, maximum)
        if total is not None:
            total = total * _decay(best, higher) + _exponentials(logits, higher)
        query = torch.where(maximum > best, position, query)
        best = higher
    labels = torch.tensor(text.vocabulary.class_of_query, device=query.device)[query]
    return labels if total is None else labels.masked_fill(1 / total < prob_threshold, 0)


def _chunks(embedding: DenseEmbedding, text: Tensor, chunk: int) -> Iterator[tuple[int, Tensor]]:
    """Yield (first query, logits (q, H, W)) in the order of the queries."""
    # The product with the text is taken once, for all queries and on the small grid of patches, since a matrix product
    # with another number of rows may round differently.
    scores = embedding.scores(text)
    step = -(-chunk // GROUP) * GROUP
    starts = [0, *range(step, len(text) - GROUP + 1, step)]  # fewer than a group join the last chunk
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield start, embedding.enlarge(scores[:, start:end])


def _first(logits: Tensor, maximum: Tensor) -> Tensor:
    """First query that reaches the maximum, (q, H, W) and (H, W) -> (H, W) int64; much faster than ``max(dim=0)``."""
    count = len(logits)
    rank = torch.arange(count, 0, -1, dtype=logits.dtype, device=logits.device)[:, None, None]
    reached = torch.ge(logits, maximum, out=torch.empty_like(logits))
    return count - reached.mul_(rank).amax(dim=0).long()  # the product is count - position or 0


def _wide(values: Tensor) -> Tensor:
    """Convert to double precision if the device has it; the sum is then the same in chunks of any size."""
    return values if values.device.type == "mps" else values.double()


def _exponentials(logits: Tensor, maximum: Tensor) -> Tensor:
    """Sum over queries of exp(40 (logit - maximum)), (q, ...) and (...) -> (...), a group at a time."""
    return sum(_decay(group, maximum).sum(dim=0) for group in logits.split(GROUP))


def _approximate(logits: Tensor, maximum: Tensor, threshold: float) -> Tensor:
    """Compute :func:`_exponentials` in the precision of the logits, and exactly where the threshold is close.

    Rounding changes the sum by less than a hundredth of the margin, so comparisons come out as in double precision.
    """
    total = _wide((logits - maximum).mul_(LOGIT_SCALE).exp_().sum(dim=0))
    close = (total * threshold - 1).abs() < 1e-3
    if close.any():
        total[close] = _exponentials(logits[:, close], maximum[close])
    return total


def _decay(lower: Tensor, upper: Tensor) -> Tensor:
    return (_wide(lower) - _wide(upper)).mul_(LOGIT_SCALE).exp_()
