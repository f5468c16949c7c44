"""From embeddings to labels: logits, probabilities and the best class of every pixel, a few rows at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.text import TextEmbeddings

#: Inverse temperature of the softmax over queries.
LOGIT_SCALE = 40.0

#: Bytes of logits that are held at a time. On a CPU they stay in the cache: 8 MiB are slower, and a row that needs more
#: (1,500 queries over more than 700 pixels) is read alone.
BLOCK_BYTES = {"cpu": 4 * 2**20, "cuda": 64 * 2**20}


def labels_from_embedding(
    embedding: DenseEmbedding, text: TextEmbeddings, prob_threshold: float | None = None
) -> Tensor:
    """Label of each pixel, (H, W) int64 on the device of the embedding.

    The probability of a class is the maximum over its queries of a softmax over all queries. A softmax keeps the order,
    so the label is the class of the largest logit, and only the threshold needs the denominator. Among equal logits the
    lower class wins. Memory grows with the width of the image times the number of queries, not with the image's height.
    Where the best probability is below the threshold, in [0, 1], the label is 0 (background).
    """
    check_threshold(prob_threshold)
    device, count = embedding.windows.device, len(text.embeddings)
    owner = torch.tensor(text.vocabulary.class_of_query, device=device)
    rank = torch.arange(count, 0, -1, dtype=torch.float32, device=device)[:, None]
    found = torch.empty(embedding.size, dtype=torch.int64, device=device)
    top = 0
    for logits in embedding.rows(text.embeddings, BLOCK_BYTES.get(device.type, BLOCK_BYTES["cuda"])):
        best = logits.amax(dim=1)  # (rows, W); logits are (rows, Q, W)
        # the first query that reaches the maximum, of which max(dim=1) would be a slow way
        scratch = torch.ge(logits, best[:, None], out=torch.empty_like(logits))
        labels = owner[count - scratch.mul_(rank).amax(dim=1).long()]
        if prob_threshold is not None:
            torch.sub(logits, best[:, None], out=scratch)
            labels.masked_fill_(1 / _total(scratch, prob_threshold) < prob_threshold, 0)
        found[top : top + len(labels)] = labels
        top += len(labels)
    return found


def check_threshold(prob_threshold: float | None) -> None:
    """Raise a ``ValueError`` for a threshold that is no probability."""
    if prob_threshold is not None and not 0 <= prob_threshold <= 1:
        raise ValueError(f"prob_threshold must lie in [0, 1], got {prob_threshold}")


def _total(below: Tensor, threshold: float) -> Tensor:
    """Sum over queries of exp(40 x), (rows, Q, W) logits minus their maximum -> (rows, W) float64.

    It is summed in single precision, and in double precision where the threshold is close: rounding changes the sum by
    less than a hundredth of that margin, so that every comparison comes out as in double precision.
    """
    double = torch.float32 if below.device.type == "mps" else torch.float64
    rough = below.mul(LOGIT_SCALE).exp_().sum(dim=1).to(double)
    row, column = ((rough * threshold - 1).abs() < 1e-3).nonzero(as_tuple=True)
    if len(row):
        rough[row, column] = below[row, :, column].to(double).mul_(LOGIT_SCALE).exp_().sum(dim=1)
    return rough
