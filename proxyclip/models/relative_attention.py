"""SAM's attention with relative positions, as one plain attention of wider heads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.vision_transformer_sam import Attention, get_rel_pos
from torch import Tensor, nn


class RelativeAttention(nn.Module):
    """What timm's ``Attention`` of a SAM encoder computes, without a bias for every pair of patches.

    The bias of a pair is the sum of two terms (Li et al. 2022, MViTv2, Eq. 4). For a given query one depends only on
    the row of the key and the other only on its column. So they are the product of ``rows + columns`` further entries
    of the query with a one-hot code of the key's row and column, and PyTorch's fused attention needs no (N, N) matrix.

    Parameters
    ----------
    attention : timm.models.vision_transformer_sam.Attention
        Its projections and tables of relative positions are shared, not copied.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads, self.scale = attention.num_heads, attention.scale
        self.qkv, self.proj = attention.qkv, attention.proj
        self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, x: Tensor) -> Tensor:
        """Attend over all places of a grid: (B, rows, columns, width) -> the same."""
        rows, columns = x.shape[1:3]
        qkv = self.qkv(x).flatten(1, 2).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, d)
        places = query.unflatten(2, (rows, columns))
        from_rows = torch.einsum("bnrcd,rkd->bnrck", places, get_rel_pos(rows, rows, self.rel_pos_h))
        from_columns = torch.einsum("bnrcd,ckd->bnrck", places, get_rel_pos(columns, columns, self.rel_pos_w))
        query = torch.cat([query * self.scale, from_rows.flatten(2, 3), from_columns.flatten(2, 3)], dim=-1)
        in_row = torch.eye(rows, dtype=x.dtype, device=x.device).repeat_interleave(columns, dim=0)
        in_column = torch.eye(columns, dtype=x.dtype, device=x.device).repeat(rows, 1)
        where = torch.cat([in_row, in_column], dim=-1).expand(*key.shape[:2], -1, -1)
        key = torch.cat([key, where], dim=-1)
        padded = F.pad(value, (0, rows + columns))  # the fused kernels need one width
        attended = F.scaled_dot_product_attention(query, key, padded, scale=1.0)[..., : value.shape[-1]]
        return self.proj(attended.transpose(1, 2).flatten(2)).unflatten(1, (rows, columns))


def share_relative_attention(encoder: nn.Module) -> None:
    """Replace timm's attention in every block of a SAM encoder by :class:`RelativeAttention`, on the same weights."""
    for block in encoder.blocks:
        if type(block.attn) is Attention and block.attn.use_rel_pos:
            block.attn = RelativeAttention(block.attn)
