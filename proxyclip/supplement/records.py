"""What a chapter saves: tidy records, the verdicts on its claims, and where the numbers come from.

A number is a :class:`Record`: one value with everything that identifies it. The supplement's own numbers have the
same form (:mod:`proxyclip.supplement.paper`), so that one function judges a claim on both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from proxyclip.rules import ClipAttention
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.display_names import family_of, labels_of, method_of, stand_ins

#: Where a number comes from: printed in the paper, measured with the shipped models or with the published weights, or
#: counted on a full-size architecture without weights.
SOURCES: tuple[str, ...] = ("published", "tiny", "paper", "architecture")

Status = Literal["holds", "does not hold", "not run"]

#: A whole number that every library can take.
Count = Annotated[int, Field(ge=0, lt=2**53)]


@dataclass(frozen=True)
class Record:
    """One number; ``ValueError`` if the value is not finite or the profile is unknown."""

    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # of a record in a file

    section: str  #: Letter of the supplement's section.
    profile: str  #: One of :data:`SOURCES`.
    metric: str  #: For example ``"miou"``, ``"params"``, ``"boundary_iou"``.
    value: float  #: Finite.
    unit: str = ""  #: ``"%"``, ``"M"`` (2^20), ``"G"`` (10^9), ``"images/s"``, ``"MiB"``, or ``""`` for a pure number.
    #: Name for :func:`proxyclip.dataset`; ``"average"`` for a printed average; empty where none is involved.
    dataset: str = ""
    vfm: str = ""  #: Registry name; in published records the family as printed; empty for what reads CLIP alone.
    rule: str = ""  #: ``rule.name``; empty for methods that are not rules of this package.
    method: str = ""  #: Name in tables and figures; derived from the rule when left out.
    setting: str = ""  #: What else distinguishes two records, in a few words.
    #: Of the masking rule, None for what it does not have. Where the rule is one of this package, they are its own.
    beta: float | None = None
    gamma: float | None = None
    alpha: float | None = None
    refinement: str = ""  #: How the masks were refined, ``"pamr"``; empty where they were not.
    over: str = ""  #: Of a paired difference: the name of the score that is subtracted, as the evaluation has it.
    time_step: Count | None = None  #: Of the diffusion model whose features were read.
    n: Count | None = None  #: Number of images.
    seed: Count | None = None
    error: float | None = None  #: Standard error of the value over the images (bootstrap), in its unit.

    def __post_init__(self) -> None:
        if self.profile not in SOURCES:
            raise ValueError(f"profile of a record must be one of {', '.join(SOURCES)}, got {self.profile!r}")
        if not math.isfinite(self.value):
            raise ValueError(f"a record's value must be finite, got {self.value} for {self.metric} of {self.rule!r}")
        object.__setattr__(self, "value", float(self.value))
        if self.error is not None and not math.isfinite(self.error):
            object.__setattr__(self, "error", None)  # a single image has no spread
        if not self.method and self.rule:
            object.__setattr__(self, "method", method_of(self.rule))
        for name, value in _rule_parameters(self.rule).items():
            object.__setattr__(self, name, value)

    def key(self) -> tuple[object, ...]:
        """Everything but the value and its error: what the number is."""
        return tuple(held for name, held in vars(self).items() if name not in ("value", "error"))


@dataclass(frozen=True)
class Verdict:
    """What the records say about a claim."""

    claim: str  #: Id, for example ``"E3"``.
    status: Status
    figures: str  #: One sentence with the figures, or with the reason why there are none.
    #: The foundation model that the verdict is about; empty where it is about none, or about several together.
    vfm: str = ""


@dataclass(frozen=True)
class Result:
    """Everything a chapter saves."""

    section: str
    profile: str
    records: list[Record]
    verdicts: list[Verdict]
    #: JSON values: versions, device, seed, weights' SHA-256, parameters, wall time.
    provenance: dict[str, Any] = field(default_factory=dict)
    checks: list[Verdict] = field(default_factory=list)  #: Our own checks, which the supplement does not ask for.


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Records as a frame, one row each.

    The columns are the fields of :class:`Record` (NaN where a rule has no such parameter), family and label (of the
    VFM) and stands_for (the benchmark that a generated set corresponds to; otherwise the dataset itself).
    """
    frame = pd.DataFrame(map(asdict, records), columns=[item.name for item in fields(Record)])
    frame["family"] = [family_of(vfm) for vfm in frame["vfm"]]
    frame["label"] = frame["vfm"].map(labels_of(frame["vfm"]))
    numbers = ["beta", "gamma", "alpha", "time_step"]
    frame[numbers] = frame[numbers].astype(float)
    imitated = stand_ins() if any(name.startswith("tiny/") for name in frame["dataset"]) else {}
    frame["stands_for"] = [imitated.get(name, name) for name in frame["dataset"]]
    return frame


@cache
def _rule_parameters(name: str) -> dict[str, float | None]:
    """Beta, gamma and alpha of the rule with a name, None for what it does not have; empty without a rule."""
    try:
        rule: object = parse_rule(name)
    except ValueError:
        return {}
    masking = rule.masking if isinstance(rule, ClipAttention) else rule
    return {key: getattr(masking, key, None) for key in ("beta", "gamma", "alpha")}
