"""The equations: attention weights from similarities, and the rules that choose them.

Everything ProxyCLIP changes in CLIP happens in one matrix. The last block of CLIP averages value vectors with weights
``softmax(q k^T / sqrt(d))``; ProxyCLIP averages them with weights made from the cosine similarities ``S`` of a vision
foundation model's patches, of which only the entries above a threshold survive.

A softmax ignores a constant added to a row, so both masking strategies of the paper are one function of *(scale,
threshold)*: the adaptive normalisation ``gamma (S - beta mean(S))``, masked where negative, is ``scale = gamma``,
``threshold = beta mean(S)``; the hard mask of the supplement's Eq. 1 is ``scale = 1, threshold = alpha``. Beta only
moves the threshold, gamma is only the inverse temperature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: How many entries of the similarity matrix are held at a time (at least one row), which bounds the memory of the
#: attention head. On the CPU a block and its softmax stay in the cache (4 MiB each in float32); a GPU is faster with
#: fewer and larger blocks.
BLOCK_ENTRIES = {"cpu": 2**20, "cuda": 2**22}


def full_precision(tensor: Tensor) -> Tensor:
    """Half precisions as float32; float32 and float64 as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def sides(maps: Tensor) -> tuple[int, int]:
    """Rows and columns of maps (..., rows, columns)."""
    return maps.shape[-2], maps.shape[-1]


def masked_softmax(similarity: Tensor, scale: Tensor | float, threshold: Tensor | float) -> Tensor:
    """Turn similarities into attention weights, keeping only what reaches a threshold.

    Parameters
    ----------
    similarity : (..., M, N) float
        Row ``i`` holds the similarity of patch ``i`` with every patch; cosines in [-1, 1].
    scale, threshold : float or tensor broadcastable to (..., 1, 1)
        Inverse temperature, positive, and the smallest similarity that is kept.

    Returns
    -------
    (..., M, N) float
        Rows sum to 1. A row with nothing at or above the threshold keeps its maximum, so that no NaN can arise. Under
        the adaptive rule this happens to every row once the mean similarity exceeds ``1 / beta``, as on a blank image
        or with a model for which all patches of a window are alike. The maximum of a row of cosines is the patch
        itself, so the attention is then the identity (:class:`proxyclip.rules.masking.Identity`).

    Notes
    -----
    Supplement, Eq. 1 (mask) and section B (normalisation). Entries equal to the threshold are kept, as in Eq. 1.
    """
    maximum = similarity.amax(dim=-1, keepdim=True)
    cut = torch.minimum(maximum, torch.as_tensor(threshold, dtype=maximum.dtype, device=maximum.device))
    # The sign of a difference of floats is exact, so entries that reach the threshold are not negative. F.threshold
    # masks the others in one vectorised pass; a boolean mask takes ten times as long.
    logits = (similarity - cut).mul_(scale)
    return F.threshold(logits, -torch.finfo(logits.dtype).tiny, float("-inf"), inplace=True).softmax(dim=-1)


def mean_similarity(rows: Tensor, columns: Tensor) -> Tensor:
    """Mean of the similarity matrix of each image, without forming the matrix.

    The mean over all pairs of ``rows_i . columns_j`` is the product of the two mean vectors; for ``S = F F^T`` that is
    ``||mean_i F_i||^2``.

    Parameters
    ----------
    rows, columns : (..., N, C) float

    Returns
    -------
    (..., 1, 1) float, at least float32
    """
    mean = (full_precision(rows).mean(dim=-2) * full_precision(columns).mean(dim=-2)).sum(dim=-1)
    return mean[..., None, None]


def masked_attention(
    rows: Tensor, columns: Tensor, values: Tensor,
    scales_and_thresholds: Sequence[tuple[Tensor | float, Tensor | float]],
) -> list[Tensor]:
    """Average values with masked attention, for several *(scale, threshold)* pairs at once.

    The similarity matrix is computed in blocks of rows, so that its memory does not grow with the square of the number
    of patches. All pairs share it, and so do all heads, which lie side by side in ``values``.

    Parameters
    ----------
    rows, columns : (..., N, C) float
        Similarity is ``rows @ columns^T``: pass unit vectors for cosines, the same tensor twice for ``S = F F^T``.
    values : (..., N, D) float
        (N, D) if all images share them.
    scales_and_thresholds : pairs of float or (..., 1, 1) tensors
        See :func:`masked_softmax`.

    Returns
    -------
    list of (..., N, D) float, in the dtype of ``values``, one per pair
    """
    count = rows.shape[-2]
    images = rows[..., 0, 0].numel()
    entries = BLOCK_ENTRIES.get(rows.device.type, BLOCK_ENTRIES["cuda"])
    step = max(1, entries // max(1, images * columns.shape[-2]))
    shape = (*rows.shape[:-1], values.shape[-1])
    outputs = [torch.empty(shape, dtype=values.dtype, device=values.device) for _ in scales_and_thresholds]
    transposed = columns.transpose(-2, -1)
    for start in range(0, count, step):
        block = slice(start, min(start + step, count))
        similarity = full_precision(rows[..., block, :] @ transposed)
        for output, (weights, total) in zip(outputs, _all_weights(similarity, scales_and_thresholds), strict=True):
            averaged = weights.to(values.dtype) @ values
            output[..., block, :] = averaged if total is None else averaged.div_(total)
    return outputs


def _all_weights(
    similarity: Tensor, scales_and_thresholds: Sequence[tuple[Tensor | float, Tensor | float]]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Compute :func:`masked_softmax` for several pairs, each scale and each threshold of a grid of pairs once.

    Yields the weights and the sum of each row, by which the average is still to be divided (None if it is one). The
    next pair overwrites the weights, since new memory of this size costs more than the product.

    On the CPU the exponentials of each scale and the mask of each threshold are kept, and a pair takes their product.
    On other devices comparing thresholds would wait for the device, and the passes that it saves cost little.
    """
    if similarity.device.type != "cpu":
        yield from ((masked_softmax(similarity, *pair), None) for pair in scales_and_thresholds)
        return
    maximum = similarity.amax(dim=-1, keepdim=True)
    weights = torch.empty_like(similarity)
    powers: dict[object, Tensor] = {}
    masks: dict[object, Tensor] = {}
    for scale, threshold in scales_and_thresholds:
        factor, cut = (torch.as_tensor(value, dtype=maximum.dtype) for value in (scale, threshold))
        power, mask = (tuple(value.flatten().tolist()) for value in (factor, cut))
        if power not in powers:
            powers[power] = (similarity - maximum).mul_(factor).exp_()
        if mask not in masks:
            # Comparing into floats directly: converting booleans to floats takes fifteen times as long.
            reached = torch.empty_like(similarity)
            masks[mask] = torch.ge(similarity, torch.minimum(maximum, cut), out=reached)
        torch.mul(powers[power], masks[mask], out=weights)
        yield weights, weights.sum(dim=-1, keepdim=True)


def unit(tokens: Tensor) -> Tensor:
    """L2-normalise the last dimension, in float32 at least, and return the input's dtype; a zero vector stays zero."""
    return F.normalize(full_precision(tokens), dim=-1).to(tokens.dtype)
