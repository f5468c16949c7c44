"""The masking rules: which similarities of the foundation model are kept, and with which temperature.

A rule is a small frozen dataclass. A *masking* rule gives a scale and a threshold to :mod:`proxyclip.attention`. Every
rule has a name, which records and the command line use (:func:`proxyclip.rules.parsing.parse_rule`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor


def check_choice(name: str, value: object, allowed: tuple[str | None, ...]) -> None:
    """Raise a ValueError unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {value!r}")


class Rule(ABC):
    """A rule with its name, and the number of CLIP's last blocks that it reads."""

    #: Number of blocks whose input the rule needs, counted from the end.
    depth: int = 1
    #: How CLIP's positional embeddings are resized for the rule, a mode of
    #: :func:`proxyclip.models.positions.resize_positions`; None takes the model's own mode.
    positions: str | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Identifier of the rule and its parameters, accepted by :func:`~proxyclip.rules.parsing.parse_rule`."""


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
        return f"adaptive:{self.beta:.15g},{self.gamma:.15g}"

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
        return f"hard:{self.alpha:.15g}"

    def scale_and_threshold(self, mean: Tensor) -> tuple[float, float]:
        return 1.0, self.alpha


@dataclass(frozen=True)
class Identity(MaskingRule):
    """Each patch of the vision foundation model's grid keeps its own value: the control of the masking rules.

    It is the limit of the hard mask as its threshold approaches 1, ``P = I``: CLIP's values are resized to the
    foundation model's grid and read there, and no patch attends to another. Any gain of a masking rule over it comes
    from the foundation model's similarities. It computes no similarities itself.
    """

    @property
    def name(self) -> str:
        return "identity"

    def scale_and_threshold(self, mean: Tensor) -> tuple[float, float]:
        return 1.0, 1.0


Readout = Literal["block", "attention"]

READOUTS = ("block", "attention")
