"""ClearCLIP: what is left of CLIP's last block once residual connection and MLP are taken away."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from proxyclip.rules.block import BlockView, ClipRule


@dataclass(frozen=True)
class ClearCLIP(ClipRule):
    """Query-query attention without residual connection and MLP (Lan et al. 2024, "ClearCLIP").

    Per head and over all tokens, ``softmax(q q^T / sqrt(d)) v``; the attention's output, projected, is what the patches
    are read from.
    """

    @property
    def name(self) -> str:
        return "clearclip"

    def read(self, block: BlockView) -> Tensor:
        queries = block.heads("q")
        attended = F.scaled_dot_product_attention(queries[:, :, 1:], queries, block.heads("v"))
        return block.finish(block.project_out(block.join_heads(attended)), "attention")
