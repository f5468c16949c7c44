"""Masked attention as one fused kernel: FlexAttention with a threshold, for GPUs.

The kernel never writes similarities to memory: they are made, compared with the threshold and consumed tile by tile, so
the attention head needs memory that grows with the number of patches, not with its square. It is chosen per model::

    model.clip.attend = proxyclip.flex.masked_attention

The default, :func:`proxyclip.attention.masked_attention`, works in blocks of rows and runs everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from proxyclip import attention


def masked_attention(
    rows: Tensor,
    columns: Tensor,
    values: Tensor,
    scales_and_thresholds: Sequence[tuple[Tensor | float, Tensor | float]],
    block_entries: int | None = None,
) -> list[Tensor]:
    """The same as :func:`proxyclip.attention.masked_attention`, by FlexAttention.

    A row with nothing at or above the threshold keeps its maximum, which a kernel that sees one tile at a time cannot
    know. Wherever the threshold does not exceed the similarity of every patch with itself, no such row can exist; where
    it does (a blank image), the blocks of rows take over.

    Parameters
    ----------
    rows, columns : (B, N, C) float
    values : (B, N, D) float
    scales_and_thresholds : pairs of float or (B, 1, 1) tensors
    block_entries : int, optional
        For the blocks of rows.

    Returns
    -------
    list of (B, N, D) float, in the dtype of ``values``, one per pair
    """
    own = (rows * columns).sum(dim=-1).amin(dim=-1).float()
    kernel = _kernel(rows.device.type)
    outputs = []
    for scale, threshold in scales_and_thresholds:
        limit = torch.as_tensor(threshold, dtype=own.dtype, device=own.device).flatten().expand(len(own))
        factor = torch.as_tensor(scale, dtype=own.dtype, device=own.device).flatten().expand(len(own))
        if bool((limit > own).any()):
            pair = [(scale, threshold)]
            outputs += attention.masked_attention(rows, columns, values, pair, block_entries)
            continue

        def score(
            similarity: Tensor, image: Tensor, head: Tensor, row: Tensor, column: Tensor,
            limit: Tensor = limit, factor: Tensor = factor,
        ) -> Tensor:
            return torch.where(similarity >= limit[image], similarity * factor[image], -float("inf"))

        outputs.append(kernel(rows[:, None], columns[:, None], values[:, None], score_mod=score, scale=1.0)[:, 0])
    return outputs


@cache
def _kernel(device: str) -> Callable[..., Tensor]:
    """FlexAttention, compiled where there is something to gain; elsewhere it runs as written."""
    return torch.compile(flex_attention, dynamic=False) if device == "cuda" else flex_attention
