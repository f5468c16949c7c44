"""Products of the networks in bfloat16 on a CPU, where PyTorch's own attention and linear layers leave speed behind."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

#: How many scores are held at a time, so that they stay in the cache between the two products.
BLOCK_ENTRIES = 2**20
#: From this many rows on a linear layer reads a packed copy of its weight; fewer do not pay for keeping one.
PACKED_ROWS = 128

#: Weight -> its version when it was packed, and oneDNN's own arrangement of it; both go with the weight.
_packed: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def faster_products(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Inside this context, networks in bfloat16 on a CPU compute attention and linear layers in faster ways.

    The fused kernel of attention converts its numbers and takes as long as in float32, although the CPU multiplies
    bfloat16 twice as fast, and a linear layer arranges its weight for the CPU in every call.
    """
    return _Faster() if dtype == torch.bfloat16 and device.type == "cpu" else nullcontext()


def attention_in_blocks(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """``softmax(scale q k^T) v`` in the cache: several small heads at a time, or a block of rows of a large one.

    Query (..., M, d), key (..., N, d) and value (..., N, D) -> (..., M, D); the scale is ``1 / sqrt(d)`` by default.
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


def packed_linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows @ weight.T + bias`` with a copy of the weight that is arranged for this CPU once and then kept.

    Rows (..., M, I), weight (O, I) and bias (O,), all bfloat16 -> (..., M, O). The copy takes as much memory as the
    weight, and is made again if that is changed in place.
    """
    version, packed = _packed.get(weight, (None, None))
    if version != weight._version:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows.numel() // rows.shape[-1])
        _packed[weight] = (weight._version, packed)
    return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")


def _can_be_packed(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    return (rows.dtype == weight.dtype == torch.bfloat16 and rows.numel() >= PACKED_ROWS * rows.shape[-1]
            and torch.is_inference_mode_enabled() and not weight.is_inference() and hasattr(torch.ops, "mkldnn")
            and hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and hasattr(torch.ops.mkldnn, "_linear_pointwise"))


class _Faster(TorchFunctionMode):
    """Exchanges PyTorch's plain attention, without mask, dropout or shared heads, and its linear layers."""

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
        if func is F.linear and not given and _can_be_packed(*args):
            return packed_linear(*args)
        return func(*args, **given)
