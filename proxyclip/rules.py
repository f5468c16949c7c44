"""The rules: what the last block of CLIP attends to.

A rule is a small frozen dataclass. The *masking* rules say how similarities become weights and read the similarities of
the vision foundation model; :class:`ClipAttention` feeds them CLIP's own similarities instead (supplement, section E);
the *baselines* are read off CLIP's block alone. ``rule.name`` identifies a rule in records and on the command line, and
:func:`parse_rule` reads it back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from proxyclip.attention import masked_attention, mean_similarity, unit

if TYPE_CHECKING:
    from proxyclip.clip import BlockView

Readout = Literal["block", "attention"]


class Rule(ABC):
    """What every rule has: a name, and how many of CLIP's last blocks it re-reads."""

    #: Number of blocks whose input the rule needs, counted from the end.
    depth: ClassVar[int] = 1

    @property
    @abstractmethod
    def name(self) -> str:
        """Identifier of the rule and its parameters, accepted by :func:`parse_rule`."""


# ---------------------------------------------------------------------------------------------- masking of similarities


class MaskingRule(Rule):
    """A rule on the similarities of the vision foundation model: a scale and a threshold."""

    @abstractmethod
    def scale_and_threshold(self, mean: Tensor) -> tuple[float, Tensor | float]:
        """Inverse temperature and smallest kept similarity, from the mean similarity of each image (..., 1, 1)."""


@dataclass(frozen=True)
class Adaptive(MaskingRule):
    """Adaptive normalisation and masking: ``gamma (S - beta mean(S))``, negative entries masked (section B).

    Parameters
    ----------
    beta : float
        Shifting factor, positive: the threshold is ``beta`` times the mean similarity of the image.
    gamma : float
        Scaling factor, positive: the inverse temperature of the softmax.

    Raises
    ------
    ValueError
        If a factor is not a positive number.
    """

    beta: float = 1.2
    gamma: float = 3.0

    def __post_init__(self) -> None:
        for name in ("beta", "gamma"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
                raise ValueError(f"{name} must be a positive number, got {value!r}")

    @property
    def name(self) -> str:
        return f"adaptive:{self.beta:g},{self.gamma:g}"

    def scale_and_threshold(self, mean: Tensor) -> tuple[float, Tensor]:
        return self.gamma, self.beta * mean


@dataclass(frozen=True)
class HardMask(MaskingRule):
    """Masking alone: entries below ``alpha`` are masked, the rest keep their cosine (section D, Eq. 1).

    Raises
    ------
    ValueError
        If ``alpha`` is not a number in [-1, 1].
    """

    alpha: float

    def __post_init__(self) -> None:
        if not isinstance(self.alpha, int | float) or isinstance(self.alpha, bool) or not -1 <= self.alpha <= 1:
            raise ValueError(f"alpha must be a number in [-1, 1] (a cosine), got {self.alpha!r}")

    @property
    def name(self) -> str:
        return f"hard:{self.alpha:g}"

    def scale_and_threshold(self, mean: Tensor) -> tuple[float, float]:
        return 1.0, self.alpha


# ------------------------------------------------------------------------------------------------- CLIP's own attention


class ClipRule(Rule):
    """A rule that reads CLIP's last block and nothing else."""

    @abstractmethod
    def read(self, block: BlockView) -> Tensor:
        """Patch tokens (B, N, width) as they enter the final normalisation and projection."""


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
        _check_choice("kind", self.kind, ("qk", "qq", "kk"))
        _check_choice("heads", self.heads, ("joined", "each"))
        _check_choice("measure", self.measure, ("cosine", "dot"))
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


@dataclass(frozen=True)
class Vanilla(ClipRule):
    """CLIP as trained: the patch tokens after its own last block (Table 4, "CLIP").

    Parameters
    ----------
    readout : {"block", "attention"}
        ``"block"`` keeps the residual connection and the MLP; ``"attention"`` reads the attention output alone.
    """

    readout: Readout = "block"

    def __post_init__(self) -> None:
        _check_choice("readout", self.readout, ("block", "attention"))

    @property
    def name(self) -> str:
        return _with_readout("vanilla", self.readout)

    def read(self, block: BlockView) -> Tensor:
        q, k, v = (block.heads(letter) for letter in "qkv")
        attended = torch.nn.functional.scaled_dot_product_attention(q[:, :, 1:], k, v)
        return block.finish(block.project_out(block.join_heads(attended)), self.readout)


@dataclass(frozen=True)
class MaskCLIP(ClipRule):
    """Identity attention: every patch keeps its own value vector (Zhou et al. 2022; Table 4, "MaskCLIP").

    Parameters
    ----------
    readout : {"block", "attention"}
        As for :class:`Vanilla`. Re-implementations differ in it.
    """

    readout: Readout = "block"

    def __post_init__(self) -> None:
        _check_choice("readout", self.readout, ("block", "attention"))

    @property
    def name(self) -> str:
        return _with_readout("maskclip", self.readout)

    def read(self, block: BlockView) -> Tensor:
        return block.finish(block.patch_values(), self.readout)


# --------------------------------------------------------------------------------------------------------------- names


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _with_readout(name: str, readout: str) -> str:
    return name if readout == "block" else f"{name}/{readout}"


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


#: Baselines by name; each takes an optional ``/attention``.
BASELINES: dict[str, Callable[..., ClipRule]] = {"vanilla": Vanilla, "maskclip": MaskCLIP}

RULE_FORMS = ("adaptive", "adaptive:BETA,GAMMA", "hard:ALPHA", "qk", "qq", "kk", "qk/each", "qk/dot", *BASELINES,
              "vanilla/attention")


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
        if head in BASELINES and len(options) <= 1:
            return BASELINES[head](*options)
    except ValueError as error:
        problem = f" ({error})"
    raise ValueError(f"unknown rule {text!r}{problem}; allowed are {', '.join(RULE_FORMS)}")
