"""open_clip's blocks and towers: everything that this package relies on inside them.

The other modules ask here, so that a version of open_clip that changes one of these names breaks this file alone;
``tests/rules/test_block.py`` says which name it was.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from open_clip.transformer import QuickGELU, ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from proxyclip.attention import sides
from proxyclip.rules.masking import Readout, Rule


class BlockView:
    """One residual attention block and the tokens that enter it, (B, 1 + N, width), as the rules read them.

    Projections are computed when they are first needed, and shared by all rules that read the same view. ``earlier``
    are the blocks in front of it whose input was kept, in their order; ``grid`` is that of the patch tokens, a square
    by default.
    """

    def __init__(self, block: ResidualAttentionBlock, tokens: Tensor, earlier: tuple[BlockView, ...] = (),
                 grid: tuple[int, int] | None = None) -> None:
        self.block = block
        self.tokens = tokens
        self.earlier = earlier
        self.grid = grid or (math.isqrt(tokens.shape[1] - 1),) * 2
        self._heads: dict[str, Tensor] = {}

    @cached_property
    def normalised(self) -> Tensor:
        """``ln_1(x)``, (B, 1 + N, width), from which queries, keys and values are projected."""
        return self.block.ln_1(self.tokens)

    def heads(self, letter: str) -> Tensor:
        """Query, key or value projection of ``ln_1(x)`` for all tokens, (B, heads, 1 + N, width / heads)."""
        if letter not in self._heads:
            attention = self.block.attn
            part = "qkv".index(letter)
            weight = attention.in_proj_weight.chunk(3)[part]
            bias = None if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)[part]
            projected = F.linear(self.normalised, weight, bias)
            self._heads[letter] = projected.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        return self._heads[letter]

    def patch_heads(self, letter: str) -> Tensor:
        """:meth:`heads` without the class token, (B, heads, N, width / heads)."""
        return self.heads(letter)[:, :, 1:]

    @staticmethod
    def join_heads(per_head: Tensor) -> Tensor:
        """(B, heads, N, d) -> (B, N, heads * d)."""
        return per_head.transpose(1, 2).flatten(2)

    def project_out(self, joined: Tensor) -> Tensor:
        """The attention's output projection, (B, N, width) -> (B, N, width)."""
        return self.block.attn.out_proj(joined)

    @cached_property
    def patch_values(self) -> Tensor:
        """Output projection of the value vectors of the patch tokens, (B, N, width).

        The output projection is affine and attention weights sum to one, so ``out_proj(P v) = P out_proj(v)``:
        projecting first gives the same, and it is done on CLIP's grid instead of the finer one of the proxy.
        """
        return self.project_out(self.join_heads(self.patch_heads("v")))

    def finish(self, attended: Tensor, readout: Readout) -> Tensor:
        """Add residual connection and MLP (``"block"``), or return the attention output as it is (``"attention"``).

        ``attended``, (B, N, width), is the attention of the patch tokens after its output projection.
        """
        return attended if readout == "attention" else self.add_residual(self.tokens[:, 1:], attended)

    def forward(self) -> Tensor:
        """The output of the block for all tokens, (B, 1 + N, width); its projections are kept for the rules."""
        attention = self.block.attn
        projected = F.linear(self.normalised, attention.in_proj_weight, attention.in_proj_bias)
        for letter, part in zip("qkv", projected.chunk(3, dim=-1), strict=True):
            self._heads[letter] = part.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(self._heads["q"], self._heads["k"], self._heads["v"])
        return self.add_residual(self.tokens, self.project_out(self.join_heads(attended)))

    def add_residual(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Residual connections around attention and MLP, for any tokens: (..., N, width)."""
        tokens = tokens + self.block.ls_1(attended)
        return tokens + self.block.ls_2(self.block.mlp(self.block.ln_2(tokens)))


class ClipRule(Rule):
    """A rule that reads CLIP's last block, or its last blocks, and nothing else."""

    #: Into how many patches along each side the rule divides one of CLIP's.
    finer: int = 1

    @abstractmethod
    def read(self, block: BlockView) -> Tensor:
        """Patch tokens (B, N * finer ** 2, width) for the final normalisation and projection."""


def refuse_unreadable(model: nn.Module, name: str) -> None:
    """Raise a ValueError with the reason if ``model`` is of an architecture that the method cannot read."""
    visual = getattr(model, "visual", None)
    reason = None
    if not isinstance(model, CLIP) or not isinstance(visual, VisionTransformer):
        reason = "its image tower is not open_clip's Vision Transformer with a separate text tower"
    elif any(type(block) is not ResidualAttentionBlock for block in visual.transformer.resblocks):
        reason = "its blocks are not plain residual attention blocks"
    elif visual.attn_pool is not None or visual.pool_type != "tok" or visual.final_ln_after_pool or visual.proj is None:
        reason = "its image embedding is not the projected class token"
    elif model.text_pool_type != "argmax" or model.attn_mask is None or model.text_projection is None:
        reason = "its text tower is not causal and read at the end token"
    elif isinstance(model.text_projection, nn.Linear):
        reason = "its text projection has a bias"
    if reason:
        raise ValueError(f"{name} cannot be read densely: {reason}")


def patch_side(model: CLIP) -> int:
    """Side of a patch, pixels."""
    return model.visual.patch_size[0]


def trained_grid(model: CLIP) -> tuple[int, int]:
    """Rows and columns of the patches of the image size that the image tower was trained on."""
    rows, columns = model.visual.grid_size
    return rows, columns


def tower_widths(model: CLIP) -> tuple[int, int]:
    """Channels of a patch token, and of the space shared by image and text."""
    return model.visual.conv1.out_channels, model.visual.output_dim


def image_blocks(model: CLIP) -> Sequence[ResidualAttentionBlock]:
    """The residual attention blocks of the image tower."""
    return model.visual.transformer.resblocks


def image_tokens(
    model: CLIP, pixels: Tensor, resize: Callable[[Tensor, tuple[int, int]], Tensor]
) -> tuple[Tensor, tuple[int, int]]:
    """What enters the first block, (B, 1 + N, width), and the grid of the patches.

    Of the normalised pixels (B, 3, H, W) those beyond a whole number of patches are ignored. ``resize`` brings the
    positional embeddings, (1 + n, width), to a grid.
    """
    visual = model.visual
    patches = visual.conv1(pixels)
    grid = sides(patches)
    class_token = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    tokens = torch.cat([class_token, patches.flatten(2).transpose(1, 2)], dim=1)
    return visual.ln_pre(tokens + resize(visual.positional_embedding, grid).to(patches.dtype)), grid


def image_head(model: CLIP) -> tuple[nn.LayerNorm, Tensor]:
    """The normalisation behind the last block, and the projection (width, embed_dim) into the shared space."""
    return model.visual.ln_post, model.visual.proj


def text_features(model: CLIP, tokens: Tensor) -> Tensor:
    """The text tower on tokens up to the end of the longest sentence, (n, context) int64 -> (n, embed_dim) float32.

    The tower is causal and a sentence is read at its end token, so the tokens behind it cannot change the result.
    """
    ends = tokens.argmax(dim=-1)
    length = int(ends.max()) + 1
    tokens = tokens[:, :length].to(model.positional_embedding.device)
    dtype = model.transformer.get_cast_dtype()
    x = model.token_embedding(tokens).to(dtype) + model.positional_embedding[:length].to(dtype)
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x[torch.arange(len(x)), ends])
    return (x @ model.text_projection).float()


def exchange_activation(model: nn.Module) -> None:
    """Give every block of both towers the other activation: GELU for QuickGELU, QuickGELU for GELU."""
    for module in model.modules():
        if isinstance(getattr(module, "gelu", None), nn.Module):
            module.gelu = nn.GELU() if isinstance(module.gelu, QuickGELU) else QuickGELU()
