"""Names as readers see them: methods, foundation models and the benchmarks that generated sets correspond to."""

from __future__ import annotations

from collections.abc import Iterable

from proxyclip.models.registry import VFMS


def method_of(rule: str) -> str:
    """Name of a rule's method in tables and figures, without its parameters; the rule's own name if it has no other."""
    head = rule.partition(":")[0].partition("/")[0]
    names = {"adaptive": "ProxyCLIP", "hard": "hard mask", "identity": "identity",
             "qk": "q-k", "qq": "q-q", "kk": "k-k",
             "vanilla": "CLIP", "maskclip": "MaskCLIP", "sclip": "SCLIP", "gem": "GEM",
             "clearclip": "ClearCLIP", "naclip": "NACLIP"}
    return names.get(head, rule)


def family_of(vfm: str) -> str:
    """Family of a vision foundation model ("DINO"); a name outside the registry is taken for a family."""
    return VFMS[vfm].family if vfm in VFMS else vfm


def labels_of(vfms: Iterable[str]) -> dict[str, str]:
    """Names of VFMs in figures and tables: the family, where only one of the family takes part."""
    vfms = set(vfms)
    families = [family_of(vfm) for vfm in vfms]
    return {vfm: family_of(vfm) if families.count(family_of(vfm)) == 1 else vfm for vfm in vfms}


def stand_ins() -> dict[str, str]:
    """Generated set -> benchmark that it imitates."""
    from proxyclip.tiny.world.sets import SETS

    return {name: row.stands_for for name, row in SETS.items()}
