"""ClearCLIP: query-query attention in CLIP's last block, without its residual connection and MLP."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from proxyclip.rules.block import BlockView, ClipRule


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
        return block.finish(block.project_out(block.join_heads(attended)), "attention")
