"""Masked attention as one fused kernel: FlexAttention with a threshold, made for GPUs.

The kernel never writes similarities to memory: they are made, compared with the threshold and consumed tile by tile, so
the attention head needs memory that grows with the number of patches, not with its square. The first call of each shape
waits for the compiler (on a CPU one for C++, which must be installed). It is chosen per model::

    model.clip.attend = proxyclip.flex.masked_attention

The default, :func:`proxyclip.attention.masked_attention`, works in blocks of rows and runs everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from proxyclip import attention

#: Rows and columns of a tile, as FlexAttention itself chooses them for masks.
TILE = 128


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
    blocks = _all_blocks(rows.shape[-2], columns.shape[-2], rows.device)
    own = (rows * columns).sum(dim=-1).amin(dim=-1).float()
    kernel = _kernel(rows.device.type)
    outputs = []
    for scale, threshold in scales_and_thresholds:
        factor, limit = (
            torch.as_tensor(value, dtype=own.dtype, device=own.device).flatten().expand(len(own)).contiguous()
            for value in (scale, threshold)
        )
        if bool((limit > own).any()):
            pair = [(scale, threshold)]
            outputs += attention.masked_attention(rows, columns, values, pair, block_entries)
            continue

        def score(
            similarity: Tensor, image: Tensor, head: Tensor, row: Tensor, column: Tensor,
            limit: Tensor = limit, factor: Tensor = factor,
        ) -> Tensor:
            return torch.where(similarity >= limit[image], similarity * factor[image], -float("inf"))

        queries, keys, entries = rows[:, None], columns[:, None], values[:, None]
        outputs.append(kernel(queries, keys, entries, score_mod=score, block_mask=blocks, scale=1.0)[:, 0])
    return outputs


def _all_blocks(rows: int, columns: int, device: torch.device) -> BlockMask:
    """A mask that keeps every tile: without one the kernel for CPUs takes the whole matrix as one tile."""
    down, across = -(-rows // TILE), -(-columns // TILE)
    counts = torch.full((1, 1, down), across, dtype=torch.int32, device=device)
    indices = torch.arange(across, dtype=torch.int32, device=device).expand(1, 1, down, across).contiguous()
    return BlockMask.from_kv_blocks(counts, indices, BLOCK_SIZE=TILE, seq_lengths=(rows, columns))


@cache
def _kernel(device: str) -> Callable[..., Tensor]:
    """FlexAttention, compiled where there is a fused kernel; elsewhere it runs as written, matrices and all."""
    return torch.compile(flex_attention, dynamic=False) if device in ("cuda", "cpu") else flex_attention
