"""CLIP's own similarities in the place of the foundation model's (supplement, section E)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from proxyclip.attention import masked_attention, mean_similarity, unit
from proxyclip.rules.block import BlockView, ClipRule
from proxyclip.rules.masking import Adaptive, Identity, MaskingRule, check_choice


@dataclass(frozen=True)
class ClipAttention(ClipRule):
    """CLIP's own similarities inside the proxy attention module (section E, Table 3).

    The similarities ``q k^T``, ``q q^T`` or ``k k^T`` of the last block's patch tokens take the place of the vision
    foundation model's, with the same normalisation and masking, no residual connection and no MLP. The supplement does
    not say over which vectors the similarity is taken, so this is a parameter.

    Parameters
    ----------
    kind : {"qk", "qq", "kk"}
    heads : {"joined", "each"}
        One similarity over the full width (all heads side by side), or one per head, each weighting its own values.
    measure : {"cosine", "dot"}
        Cosine, or the dot product divided by the square root of the width it is taken over.
    masking : MaskingRule
    """

    kind: Literal["qk", "qq", "kk"] = "qk"
    heads: Literal["joined", "each"] = "joined"
    measure: Literal["cosine", "dot"] = "cosine"
    masking: MaskingRule = Adaptive()

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("qk", "qq", "kk"))
        check_choice("heads", self.heads, ("joined", "each"))
        check_choice("measure", self.measure, ("cosine", "dot"))
        if not isinstance(self.masking, MaskingRule) or isinstance(self.masking, Identity):
            raise ValueError(f"masking must be Adaptive(...) or HardMask(...), got {self.masking!r}")

    @property
    def name(self) -> str:
        chosen: list[tuple[str, str]] = [(self.heads, "joined"), (self.measure, "cosine")]
        options = [value for value, default in chosen if value != default]
        if self.masking != Adaptive():
            options.append(self.masking.name)
        return "/".join([self.kind, *options])

    def read(self, block: BlockView) -> Tensor:
        first, second = (block.patch_heads(letter) for letter in self.kind)
        if self.heads == "joined":
            values = block.patch_values
            first, second = block.join_heads(first), block.join_heads(second)
        else:
            values = block.patch_heads("v")
        if self.measure == "cosine":
            first, second = unit(first), unit(second)
        else:
            first = first * first.shape[-1] ** -0.5
        pair = self.masking.scale_and_threshold(mean_similarity(first, second))
        (attended,) = masked_attention(first, second, values, [pair])
        return attended if self.heads == "joined" else block.project_out(block.join_heads(attended))
