"""NACLIP: key-key attention that prefers a patch's neighbourhood."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.rules.block import BlockView, ClipRule


@dataclass(frozen=True)
class NACLIP(ClipRule):
    """Key-key attention with a Gaussian neighbourhood, without residual connection and MLP (Hajimiri et al. 2025).

    Per head, ``softmax(k k^T / sqrt(d) + w) v`` over the patches, where ``w_ij = exp(-|p_i - p_j|^2 / (2 sigma^2))`` is
    a Gaussian window around patch ``i`` on CLIP's grid, 1 at the patch itself. The class token is left out, since it
    has no place on the grid.

    Parameters
    ----------
    sigma : float
        Standard deviation of the window in patches; 5 in the paper.

    Raises
    ------
    ValueError
        If ``sigma`` is not a positive number.
    """

    sigma: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.sigma, int | float) or isinstance(self.sigma, bool) or not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma must be a positive number of patches, got {self.sigma!r}")

    @property
    def name(self) -> str:
        return "naclip" if self.sigma == 5 else f"naclip:{self.sigma:g}"

    def read(self, block: BlockView) -> Tensor:
        keys = block.patch_heads("k")
        near = neighbourhood(block.grid, self.sigma).to(keys)
        attended = F.scaled_dot_product_attention(keys, keys, block.patch_heads("v"), attn_mask=near)
        return block.finish(block.project_out(block.join_heads(attended)), "attention")


def neighbourhood(grid: tuple[int, int], sigma: float) -> Tensor:
    """Gaussian of the distance between every two patches of a grid, (N, N) float64."""
    rows, columns = (torch.arange(length, dtype=torch.float64) for length in grid)
    patches = torch.cartesian_prod(rows, columns)
    return (-torch.cdist(patches, patches).square() / (2 * sigma**2)).exp()
