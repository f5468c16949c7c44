"""The evaluations that a chapter needs, as jobs that several machines can do before the notebook runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from proxyclip.inference.pamr import PAMR
from proxyclip.rules import (
    GEM,
    NACLIP,
    SCLIP,
    Adaptive,
    ClearCLIP,
    HardMask,
    Identity,
    MaskCLIP,
    Rule,
    Vanilla,
    parse_rule,
)
from proxyclip.rules.block import image_blocks
from proxyclip.supplement.claims.claim import CLIP_KINDS
from proxyclip.supplement.defaults import CHAPTER_SETS, usual_vfms
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.parameters import ChapterError, validate


@dataclass(frozen=True)
class ChapterJob:
    """One evaluation of a chapter: a foundation model on a set, under all of the chapter's rules."""

    index: int
    vfm: str
    dataset: str


def chapter_jobs(section: str, **parameters: object) -> list[ChapterJob]:
    """The evaluations of a chapter, without loading anything; the same parameters give the same list."""
    given = dict(parameters)
    checked = validate(section, given.pop("profile"), **given)
    if section not in _RULES:
        raise ChapterError(f"chapter {section} has no evaluations to share; there are those of {', '.join(_RULES)}")
    vfms = checked.get("vfm") or usual_vfms(section, checked["profile"])
    sets = checked.get("datasets") or CHAPTER_SETS[checked["profile"]][section]
    pairs = [(vfm, name) for vfm in vfms for name in (sets[:1] if section == "C" else sets)]
    return [ChapterJob(index, *pair) for index, pair in enumerate(pairs)]


def rules_of(run: Experiment) -> list[Rule]:
    """The rules that a chapter scores in one pass."""
    return _RULES[run.section](run)


def refinement_of(section: str) -> PAMR | None:
    """How a chapter refines the masks of each rule beside leaving them as they are; None where it does not."""
    return PAMR() if section == "H" else None


def _published_gem(run: Experiment) -> GEM:
    """GEM on the share of CLIP's blocks that the authors' package re-reads: 6 of 12, so half of them, rounded up."""
    return GEM(depth=-(-len(image_blocks(run.model().clip.model)) // 2))


_RULES: dict[str, Callable[[Experiment], list[Rule]]] = {
    "A": lambda run: [Vanilla(), *map(parse_rule, CLIP_KINDS), Identity(), Adaptive()],
    "B": lambda run: [Identity(), *(Adaptive(beta, gamma) for beta in run.betas for gamma in run.gammas)],
    "C": lambda run: [Adaptive(), Identity()],
    "D": lambda run: [*map(HardMask, run.alphas), Adaptive(), Identity()],
    "E": lambda run: [Vanilla(), *map(parse_rule, run.attentions), Identity(), Adaptive()],
    "F": lambda run: [replace(rule, readout=readout) for rule in (Vanilla(), MaskCLIP(), SCLIP(), _published_gem(run))
                      for readout in (rule.readout, "attention")] + [Identity(), Adaptive()],
    "H": lambda run: [Vanilla(), MaskCLIP(), SCLIP(), _published_gem(run), ClearCLIP(), NACLIP(), Identity(),
                      Adaptive()],
}
