"""The baselines: CLIP's last blocks as they were trained, and as other work changes them.

They read CLIP alone, without a vision foundation model. Those of the paper can also be read without the last block's
residual connection and MLP (``readout="attention"``), in which published re-implementations of them differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.rules.block import BlockView, ClipRule
from proxyclip.rules.masking import READOUTS, Readout, check_choice

#: How GEM's own package resizes positional embeddings, and the option of a rule's name that leaves it to the model.
GEM_POSITIONS = "bicubic-antialias"
OWN_POSITIONS = "own-positions"


@dataclass(frozen=True)
class _Baseline(ClipRule):
    """A rule whose only parameter is the readout, named like its class."""

    readout: Readout = "block"

    def __post_init__(self) -> None:
        check_choice("readout", self.readout, READOUTS)

    @property
    def name(self) -> str:
        return _with_readout(type(self).__name__.lower(), self.readout)


@dataclass(frozen=True)
class Vanilla(_Baseline):
    """CLIP as trained: the patch tokens after its own last block (Table 4, "CLIP").

    Parameters
    ----------
    readout : {"block", "attention"}
        ``"block"`` keeps the residual connection and the MLP; ``"attention"`` reads the attention output alone.
    """

    def read(self, block: BlockView) -> Tensor:
        q, k, v = (block.heads(letter) for letter in "qkv")
        attended = F.scaled_dot_product_attention(q[:, :, 1:], k, v)
        return block.finish(block.project_out(block.join_heads(attended)), self.readout)


@dataclass(frozen=True)
class MaskCLIP(_Baseline):
    """Identity attention: every patch keeps its own value vector (Zhou et al. 2022; Table 4, "MaskCLIP").

    Parameters
    ----------
    readout : {"block", "attention"}
        As for :class:`Vanilla`. Re-implementations differ in it.
    """

    def read(self, block: BlockView) -> Tensor:
        return block.finish(block.patch_values, self.readout)


@dataclass(frozen=True)
class SCLIP(_Baseline):
    """Correlative self-attention: ``softmax(q q^T / sqrt(d)) + softmax(k k^T / sqrt(d))`` (Wang et al. 2023).

    Per head and over all tokens including the class token; the two are added, not averaged (Table 4, "SCLIP").

    Parameters
    ----------
    readout : {"block", "attention"}
        As for :class:`Vanilla`.
    """

    def read(self, block: BlockView) -> Tensor:
        q, k, v = (block.heads(letter) for letter in "qkv")
        by_queries, by_keys = (F.scaled_dot_product_attention(x[:, :, 1:], x, v) for x in (q, k))
        attended = by_queries + by_keys
        return block.finish(block.project_out(block.join_heads(attended)), self.readout)


@dataclass(frozen=True)
class GEM(ClipRule):
    """Self-self attention of queries, keys and values on a second path (Bousselham et al. 2024; Table 1, "GEM").

    In each of the last ``depth`` blocks and for each of q, k and v, the projections ``p`` of every head are normalised
    and clustered, ``p <- softmax(p p^T / t) p``, ``iterations`` times, and the values are averaged with
    ``softmax(p p^T / t)``. The mean over q, k and v, after the output projection, is added to the second path. That
    path starts from the input of the first of these blocks and has no MLP; the blocks themselves run as trained.

    Parameters
    ----------
    depth : int
        Number of blocks re-read, counted from the last. The authors' package re-reads six.
    iterations : int
        Clustering steps before the values are read; 0 leaves them out.
    temperature : float or None
        ``t``; None is the paper's adaptive one, ``sqrt(d)`` over the mean norm of the block's normalised input tokens.
    readout : {"block", "attention"}
        The sum over the second path, or the last block's self-self attention alone.
    positions : str or None
        How positional embeddings are resized if the window has another grid than the model was trained on. The
        authors' package resizes them bicubically with antialiasing to the exact size; None takes the model's own mode
        (``/own-positions`` in the rule's name).

    Notes
    -----
    The defaults are what ``gem_torch`` computes with its own defaults. It calls this ``depth=7`` because it counts one
    block more than it re-reads; the paper's text speaks of seven blocks, which is ``GEM(depth=7)`` here.
    """

    depth: int = 6
    iterations: int = 1
    temperature: float | None = None
    readout: Readout = "block"
    positions: str | None = GEM_POSITIONS

    def __post_init__(self) -> None:
        check_choice("readout", self.readout, READOUTS)
        check_choice("positions", self.positions, (GEM_POSITIONS, None))
        for name, least in (("depth", 1), ("iterations", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be a positive number or None, got {self.temperature!r}")

    @property
    def name(self) -> str:
        changed = [(self.depth, 6), (self.iterations, 1), (self.temperature, None)]
        while changed and changed[-1][0] == changed[-1][1]:
            changed.pop()
        numbers = ",".join("adaptive" if value is None else f"{value:.15g}" for value, _ in changed)
        name = _with_readout(f"gem:{numbers}" if numbers else "gem", self.readout)
        return name if self.positions else f"{name}/{OWN_POSITIONS}"

    def read(self, block: BlockView) -> Tensor:
        blocks = (*block.earlier, block)[-self.depth :]
        if self.readout == "attention":
            return self._self_self_attention(block)
        return blocks[0].tokens[:, 1:] + sum(one.block.ls_1(self._self_self_attention(one)) for one in blocks)

    def _self_self_attention(self, block: BlockView) -> Tensor:
        """The mean of the q-q, k-k and v-v attention of one block after the output projection, (B, N, width)."""
        values = block.heads("v")
        if self.temperature is None:
            norms = block.normalised.float().norm(dim=-1).mean(dim=-1)[:, None, None, None]
            sharpness = (norms * values.shape[-1] ** -0.5).to(values.dtype)
        else:
            sharpness = 1 / self.temperature

        def weights(letter: str) -> Tensor:
            points = F.normalize(block.heads(letter), dim=-1)
            for _ in range(self.iterations):
                points = F.scaled_dot_product_attention(points * sharpness, points, points, scale=1.0)
                points = F.normalize(points, dim=-1)
            return ((points[:, :, 1:] * sharpness) @ points.transpose(-2, -1)).softmax(dim=-1)

        mean = (weights("q") + weights("k") + weights("v")) / 3
        attended = mean @ values  # the mean of three attentions is the attention of their mean
        return block.project_out(block.join_heads(attended))


def _with_readout(name: str, readout: str) -> str:
    return name if readout == "block" else f"{name}/{readout}"


@dataclass(frozen=True)
class ClearCLIP(ClipRule):
    """Query-query attention without residual connection and MLP (Lan et al. 2024, "ClearCLIP").

    Per head and over all tokens, ``softmax(q q^T / sqrt(d)) v``. The patch embeddings are read from the output of the
    attention after its output projection.
    """

    @property
    def name(self) -> str:
        return "clearclip"

    def read(self, block: BlockView) -> Tensor:
        queries = block.heads("q")
        attended = F.scaled_dot_product_attention(queries[:, :, 1:], queries, block.heads("v"))
        return block.project_out(block.join_heads(attended))


@dataclass(frozen=True)
class NACLIP(ClipRule):
    """Key-key attention with a Gaussian neighbourhood, without residual connection and MLP (Hajimiri et al. 2025).

    Per head, ``softmax(k k^T / sqrt(d) + w) v`` over the patches, where ``w_ij = exp(-|p_i - p_j|^2 / (2 sigma^2))`` is
    a Gaussian window around patch ``i`` on CLIP's grid, 1 at the patch itself. The class token is left out, since it
    has no place on the grid.

    Parameters
    ----------
    sigma : float
        Standard deviation of the window in patches, positive; 5 in the paper.
    """

    sigma: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, int | float) or isinstance(self.sigma, bool) or not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be a positive number of patches, got {self.sigma!r}")

    @property
    def name(self) -> str:
        return "naclip" if self.sigma == 5 else f"naclip:{self.sigma:.15g}"

    def read(self, block: BlockView) -> Tensor:
        keys = block.patch_heads("k")
        rows, columns = (torch.arange(length, dtype=torch.float64) for length in block.grid)
        patches = torch.cartesian_prod(rows, columns)
        near = (-torch.cdist(patches, patches).square() / (2 * self.sigma**2)).exp().to(keys)
        attended = F.scaled_dot_product_attention(keys, keys, block.patch_heads("v"), attn_mask=near)
        return block.project_out(block.join_heads(attended))
