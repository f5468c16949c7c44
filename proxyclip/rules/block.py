"""The parts of one block of CLIP that the rules read: its input, its projections, its residual connection and MLP."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cached_property

import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from proxyclip.rules.masking import Readout, Rule


class BlockView:
    """One residual attention block and the tokens that enter it, as the rules read them.

    Projections are computed when they are first needed, and shared by all rules that read the same view.

    Parameters
    ----------
    block : ResidualAttentionBlock
        ``x + attn(ln_1(x))`` followed by ``x + mlp(ln_2(x))``.
    tokens : (B, 1 + N, width) float
        Input of the block, the class token first.
    earlier : tuple of BlockView
        The blocks in front of it whose input was kept, in their order.
    grid : (rows, columns), optional
        Grid of the patch tokens, for rules that use the position of a patch; a square by default.
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
    def _patch_values(self) -> Tensor:
        return self.project_out(self.join_heads(self.patch_heads("v")))

    def patch_values(self) -> Tensor:
        """Output projection of the value vectors of the patch tokens, (B, N, width).

        The output projection is affine and attention weights sum to one, so ``out_proj(P v) = P out_proj(v)``:
        projecting first gives the same, and it is done on CLIP's grid instead of the finer one of the proxy.
        """
        return self._patch_values

    def finish(self, attended: Tensor, readout: Readout) -> Tensor:
        """Add residual connection and MLP (``"block"``), or return the attention output as it is (``"attention"``).

        Parameters
        ----------
        attended : (B, N, width) float
            Output of the attention for the patch tokens, after its output projection.
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
