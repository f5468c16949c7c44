"""A small segmenter on a frozen CLIP: what the fully-supervised methods of Table 4 have in common, at the tiny scale.

Like them it learns from masks whose regions have names and classifies by CLIP's text embeddings, so that it can be
asked for words that no training mask had.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Rows, and columns, of the head's output for each patch of CLIP.
FINER = 2
#: Blocks of CLIP whose input the head reads, in addition to the values of the last block.
READ_BLOCKS = (0, 2, 4)


class Mixer(nn.Module):
    """A depthwise 5 x 5 convolution and an MLP on each patch, with a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wider, self.back = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> (B, width, h, w)."""
        mixed = self.norm(self.around(x).permute(0, 2, 3, 1))
        return x + self.back(F.gelu(self.wider(mixed))).permute(0, 3, 1, 2)


class SegmentationHead(nn.Module):
    """From CLIP's frozen features to tokens of its last layer, on a grid ``FINER`` times as fine.

    The head learns what to add to CLIP's own values. Before training this is zero, so that an untrained head gives the
    result of the rule ``identity``. CLIP's tokens are ``width`` wide; inside are ``hidden`` channels and ``depth``
    mixers.
    """

    def __init__(self, width: int = 192, hidden: int = 80, depth: int = 3) -> None:
        super().__init__()
        sources = len(READ_BLOCKS) + 1
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(sources))
        self.enter = nn.Conv2d(sources * width, hidden * FINER**2, 1)
        self.blocks = nn.Sequential(*(Mixer(hidden) for _ in range(depth)))
        self.leave = nn.Conv2d(hidden, width, 1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, tokens: list[Tensor], values: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens that CLIP's final normalisation and projection turn into embeddings, (B, N * FINER ** 2, width) float.

        ``tokens`` are the patch tokens that enter the blocks ``READ_BLOCKS``, (B, N, width) each, ``values`` the
        projected values of the last block, (B, N, width), and ``grid`` the rows and columns of CLIP's patches.
        """
        sources = [norm(part) for norm, part in zip(self.norms, [*tokens, values], strict=True)]
        maps = torch.cat(sources, dim=-1).mT.unflatten(-1, grid)
        added = self.leave(self.blocks(F.pixel_shuffle(self.enter(maps), FINER)))
        own = F.interpolate(values.mT.unflatten(-1, grid), added.shape[-2:], mode="bilinear", align_corners=False)
        return (own + added).flatten(2).mT
