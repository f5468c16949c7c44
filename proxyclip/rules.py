"""The rules: what the last block of CLIP attends to.

A rule is a small frozen dataclass. The *masking* rules say how similarities become weights and read the similarities of
the vision foundation model; :class:`ClipAttention` feeds them CLIP's own similarities instead (supplement, section E);
the *baselines* are read off CLIP's block alone. ``rule.name`` identifies a rule in records and on the command line, and
:func:`parse_rule` reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from proxyclip.attention import masked_attention, mean_similarity, unit
from proxyclip.baselines import BASELINES, GEM, SCLIP, ClipRule, MaskCLIP, Readout, Vanilla, parse_baseline
from proxyclip.masking import Adaptive, HardMask, MaskingRule, Rule, check_choice

if TYPE_CHECKING:
    from proxyclip.block import BlockView

__all__ = ["GEM", "RULE_FORMS", "SCLIP", "Adaptive", "ClipAttention", "ClipRule", "HardMask", "MaskCLIP", "MaskingRule",
           "Readout", "Rule", "Vanilla", "parse_rule"]


@dataclass(frozen=True)
class ClipAttention(ClipRule):
    """CLIP's own similarities inside the proxy attention module (section E, Table 3).

    The similarities ``q k^T``, ``q q^T`` or ``k k^T`` of the last block's patch tokens take the place of the vision
    foundation model's, with the same normalisation and masking, no residual and no MLP. The supplement leaves open over
    which vectors the similarity is taken; the reading is a parameter.

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
        if not isinstance(self.masking, MaskingRule):
            raise ValueError(f"masking must be Adaptive(...) or HardMask(...), got {self.masking!r}")

    @property
    def name(self) -> str:
        options = [value for value, default in ((self.heads, "joined"), (self.measure, "cosine")) if value != default]
        if self.masking != Adaptive():
            options.append(self.masking.name)
        return "/".join([self.kind, *options])

    def read(self, block: BlockView) -> Tensor:
        first, second = (block.patch_heads(letter) for letter in self.kind)
        if self.heads == "joined":
            values = block.patch_values()
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


# --------------------------------------------------------------------------------------------------------------- names


def _parse_masking(text: str) -> MaskingRule | None:
    head, _, tail = text.partition(":")
    numbers = [float(part) for part in tail.split(",")] if tail else []
    if head == "adaptive" and len(numbers) in (0, 2):
        return Adaptive(*numbers)
    if head == "hard" and len(numbers) == 1:
        return HardMask(*numbers)
    return None


def _parse_clip_attention(kind: str, options: list[str]) -> ClipAttention:
    fields: dict[str, object] = {}
    for option in options:
        if option == "each":
            fields["heads"] = option
        elif option == "dot":
            fields["measure"] = option
        elif (masking := _parse_masking(option)) is not None:
            fields["masking"] = masking
        else:
            raise ValueError(option)
    return ClipAttention(kind, **fields)


RULE_FORMS = ("adaptive", "adaptive:BETA,GAMMA", "hard:ALPHA", "qk", "qq", "kk", "qk/each", "qk/dot", *BASELINES,
              "vanilla/attention", "gem:DEPTH")


def parse_rule(text: str) -> Rule:
    """Read a rule from its name, the inverse of ``rule.name``.

    Parameters
    ----------
    text : str
        For example ``"adaptive"``, ``"adaptive:1.2,3"``, ``"hard:0.4"``, ``"qq"``, ``"qk/each/dot"``,
        ``"maskclip/attention"``.

    Raises
    ------
    ValueError
        One sentence with the forms that are understood.
    """
    head, *options = text.strip().split("/")
    problem = ""
    try:
        if not options and (masking := _parse_masking(head)) is not None:
            return masking
        if head in ("qk", "qq", "kk"):
            return _parse_clip_attention(head, options)
        if (baseline := parse_baseline(head, options)) is not None:
            return baseline
    except ValueError as error:
        problem = f" ({error})"
    raise ValueError(f"unknown rule {text!r}{problem}; allowed are {', '.join(RULE_FORMS)}")
