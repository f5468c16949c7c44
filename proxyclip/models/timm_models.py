"""timm's Vision Transformers and SAM encoders: everything that this package relies on inside them.

The other modules ask here, so that a version of timm that changes one of these names breaks this file alone;
``tests/models/test_timm_models.py`` says which name it was.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer_sam import Attention, get_rel_pos
from torch import Tensor, nn


def create(architecture: str) -> nn.Module:
    """An untrained backbone without a head."""
    return timm.create_model(architecture, pretrained=False, num_classes=0)


def published_source(architecture: str) -> tuple[str, str]:
    """The hub repository of timm's published weights, and the authors' URL or an empty string."""
    published = timm.get_pretrained_cfg(architecture)
    if published is None or published.hf_hub_id is None:
        raise ValueError(f"timm publishes no weights for {architecture}")
    return str(published.hf_hub_id), str(published.url or "")


def renamed(state: Mapping[str, Tensor], backbone: nn.Module) -> dict[str, Tensor]:
    """The tensors of a published file under timm's names, by the filter of the backbone's own module."""
    return sys.modules[type(backbone).__module__].checkpoint_filter_fn(dict(state), backbone)


def patch_projection(backbone: nn.Module) -> tuple[int, ...]:
    """Shape of the weights that embed a patch, (width, 3, side, side)."""
    return tuple(cast(Any, backbone).patch_embed.proj.weight.shape)


def patch_side(backbone: nn.Module) -> int:
    """Side of a patch, pixels."""
    return cast(Any, backbone).patch_embed.patch_size[0]


def trained_grid(backbone: nn.Module) -> tuple[int, int]:
    """Rows and columns of the patches of the image size that the backbone was built for."""
    rows, columns = cast(Any, backbone).patch_embed.grid_size
    return rows, columns


def accept_any_size(backbone: nn.Module) -> None:
    """Windows may have any size from now on; the caller places the positions."""
    cast(Any, backbone).patch_embed.strict_img_size = False


def positions(backbone: nn.Module) -> Tensor:
    """The table of absolute positional embeddings, (1, prefix + N, width)."""
    return cast(Any, backbone).pos_embed


def prefix_tokens(backbone: nn.Module) -> int:
    """How many tokens stand before those of the patches: class token and registers."""
    return cast(Any, backbone).num_prefix_tokens


def width_and_depth(backbone: nn.Module) -> tuple[int, int]:
    """Channels of a token, and the number of blocks."""
    return cast(Any, backbone).embed_dim, len(cast(Any, backbone).blocks)


def set_rotary_periods(backbone: nn.Module, periods: Tensor) -> None:
    """Give the rotary positions of an Eva backbone the periods of a file."""
    cast(Any, backbone).rope.periods.copy_(periods)


def blocks(backbone: nn.Module) -> Iterator[nn.Module]:
    """The transformer blocks; none for a model that has no list of them."""
    return iter(getattr(backbone, "blocks", ()))


def last_projection(backbone: nn.Module) -> nn.Module | None:
    """What projects to queries, keys and values in the last block; None for a model without blocks."""
    *_, last = [None, *blocks(backbone)]
    return last and cast(Any, last).attn.qkv


def features(backbone: nn.Module, pixels: Tensor, table: Tensor | None = None) -> Tensor:
    """Tokens (B, prefix + N, width), or the map of SAM's neck (B, C, rows, columns), of normalised pixels.

    Pixels are (B, 3, H, W); ``table`` are positional embeddings (1, prefix + N, width) instead of the backbone's own.
    """
    if table is None:
        return cast(Any, backbone).forward_features(pixels)
    return torch.func.functional_call(_Features(backbone), {"backbone.pos_embed": table}, (pixels,))


class _Features(nn.Module):
    """``forward_features`` of a backbone as a forward pass, so that a call can be given other positions."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        return features(self.backbone, pixels)


class RelativeAttention(nn.Module):
    """What timm's ``Attention`` of a SAM encoder computes, as one plain attention of wider heads.

    The bias of a pair is the sum of two terms (Li et al. 2022, MViTv2, Eq. 4). For a given query one depends only on
    the row of the key and the other only on its column. So they are the product of ``rows + columns`` further entries
    of the query with a one-hot code of the key's row and column, and PyTorch's fused attention needs no (N, N) matrix.
    Projections and tables of relative positions are shared with the attention that is given, not copied.
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
    for block in cast(Any, encoder).blocks:
        if type(block.attn) is Attention and block.attn.use_rel_pos:
            block.attn = RelativeAttention(block.attn)
