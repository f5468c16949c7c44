"""Attention of the networks in bfloat16 on a CPU, where PyTorch's fused kernel is no faster than in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: How many scores are held at a time, so that they stay in the cache between the two products.
BLOCK_ENTRIES = 2**20


def faster_attention(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Inside this context, any network computes attention with :func:`attention_in_blocks` where that is faster.

    That is bfloat16 on a CPU: the fused kernel converts its numbers and takes as long as in float32, although the CPU
    multiplies bfloat16 twice as fast.
    """
    return _InBlocks() if dtype == torch.bfloat16 and device.type == "cpu" else nullcontext()


def attention_in_blocks(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """``softmax(scale q k^T) v`` in the cache: several small heads at a time, or a block of rows of a large one.

    Parameters
    ----------
    query : (..., M, d) float
    key, value : (..., N, d) and (..., N, D) float
    scale : float, optional
        ``1 / sqrt(d)`` by default.

    Returns
    -------
    (..., M, D) float
    """
    queries = (query * (query.shape[-1] ** -0.5 if scale is None else scale)).flatten(0, -3)
    keys, values = key.flatten(0, -3).transpose(-2, -1).contiguous(), value.flatten(0, -3)
    found = values.new_empty(*queries.shape[:-1], values.shape[-1])
    heads = max(1, BLOCK_ENTRIES // (queries.shape[-2] * keys.shape[-1]))
    rows = max(1, BLOCK_ENTRIES // keys.shape[-1])
    for head in range(0, len(queries), heads):
        some = slice(head, head + heads)
        for row in range(0, queries.shape[-2], rows):
            block = slice(row, row + rows)
            found[some, block] = (queries[some, block] @ keys[some]).softmax(dim=-1) @ values[some]
    return found.unflatten(0, query.shape[:-2])


class _InBlocks(TorchFunctionMode):
    """Exchanges the plain calls of PyTorch's attention, without mask, dropout or shared heads."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is F.scaled_dot_product_attention and len(args) == 3 and args[0].dtype == torch.bfloat16:
            plain = all(value is None or value is False or value == 0 for name, value in given.items()
                        if name not in ("scale", "attn_mask")) and given.get("attn_mask") is None
            if plain and args[0].shape[:-2] == args[1].shape[:-2]:
                query, key, value = args
                return attention_in_blocks(query, key, value, scale=given.get("scale"))
        return func(*args, **given)
