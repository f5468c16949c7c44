"""The evaluations that a chapter needs, as jobs that several machines can do before the notebook runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product, starmap
from typing import Any

from proxyclip.inference.pamr import PAMR
from proxyclip.models.clip import DenseCLIP
from proxyclip.rules import (
    GEM,
    NACLIP,
    SCLIP,
    Adaptive,
    ClearCLIP,
    ClipAttention,
    HardMask,
    Identity,
    MaskCLIP,
    Rule,
    Vanilla,
)
from proxyclip.rules.block import image_blocks
from proxyclip.supplement.parameters import ChapterError


@dataclass(frozen=True)
class ChapterJob:
    """One evaluation of a chapter: a foundation model on a set, under all of the chapter's rules."""

    index: int
    vfm: str
    dataset: str


def chapter_jobs(section: str, parameters: Mapping[str, Any]) -> list[ChapterJob]:
    """The evaluations of a chapter with these checked parameters, without loading anything; always the same list."""
    if section not in _RULES:
        raise ChapterError(f"chapter {section} has no evaluations to share; there are those of {', '.join(_RULES)}")
    sets = parameters["datasets"][:1] if section == "C" else parameters["datasets"]
    pairs = [(vfm, name) for vfm in parameters["vfm"] for name in sets]
    return [ChapterJob(index, *pair) for index, pair in enumerate(pairs)]


def rules_of(section: str, parameters: Mapping[str, Any], clip: DenseCLIP) -> list[Rule]:
    """The rules that a chapter with these checked parameters scores in one pass."""
    return _RULES[section](parameters, clip)


def refinement_of(section: str) -> PAMR | None:
    """How a chapter refines the masks of each rule beside leaving them as they are; None where it does not."""
    return PAMR() if section == "H" else None


def _published_gem(clip: DenseCLIP) -> GEM:
    """GEM on the share of CLIP's blocks that the authors' package re-reads: 6 of 12, so half of them, rounded up."""
    return GEM(depth=-(-len(image_blocks(clip.model)) // 2))


_RULES: dict[str, Callable[[Mapping[str, Any], DenseCLIP], list[Rule]]] = {
    "A": lambda given, clip: [Vanilla(), ClipAttention("qk"), ClipAttention("qq"), ClipAttention("kk"), Identity(),
                              Adaptive()],
    "B": lambda given, clip: [Identity(), *starmap(Adaptive, product(given["betas"], given["gammas"]))],
    "C": lambda given, clip: [Adaptive(), Identity()],
    "D": lambda given, clip: [*map(HardMask, given["alphas"]), Adaptive(), Identity()],
    "E": lambda given, clip: [Vanilla(), *given["attentions"], Identity(), Adaptive()],
    "F": lambda given, clip: [replace(rule, readout=readout)
                              for rule in (Vanilla(), MaskCLIP(), SCLIP(), _published_gem(clip))
                              for readout in (rule.readout, "attention")] + [Identity(), Adaptive()],
    "H": lambda given, clip: [Vanilla(), MaskCLIP(), SCLIP(), _published_gem(clip), ClearCLIP(), NACLIP(), Identity(),
                              Adaptive()],
}
