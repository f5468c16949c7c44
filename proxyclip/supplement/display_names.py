"""Names as readers see them: methods, foundation models and the benchmarks that generated sets correspond to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from proxyclip.models.registry import VFMS

if TYPE_CHECKING:
    from proxyclip.models.vfm import VFM


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


def name_with_patch(vfm: VFM) -> str:
    """Name of ProxyCLIP's row with a model, which tells its size and patch: ``ProxyCLIP (tiny DINO/8)``."""
    family = ("tiny " if vfm.spec.source == "tiny" else "") + family_of(vfm.name)
    size = next((f"-{letter.upper()}" for letter in "sblh" if f"vit{letter}" in vfm.name), "")
    return f"ProxyCLIP ({family}{size}/{vfm.patch_size})"


def patch_in(method: str) -> int | None:
    """Patch size in the name of a row (:func:`name_with_patch`); None in the names of methods that use CLIP alone."""
    found = re.fullmatch(r"ProxyCLIP \(.+/(\d+)\)", method)
    return int(found[1]) if found else None


def stand_ins() -> dict[str, str]:
    """Generated set -> benchmark that it imitates."""
    from proxyclip.tiny.world.sets import SETS

    return {name: row.stands_for for name, row in SETS.items()}


def proxies_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Records with the foundation model in the method's name, ``ProxyCLIP (SAM)``, where a method read several.

    A method that gives the same values with each of them, as the identity does on equal grids, keeps its plain name and
    the records of the first model: they are one measurement. The frame is one of
    :func:`proxyclip.supplement.records.table`.
    """
    parts = []
    for method, rows in frame.groupby("method", sort=False):
        vfms = [vfm for vfm in dict.fromkeys(rows["vfm"]) if vfm]
        if len(vfms) > 1:
            keys = ["metric", "dataset", "rule", "setting", "refinement", "time_step", "seed"]
            if rows.groupby(keys, dropna=False)["value"].nunique().max() == 1:
                rows = rows[rows["vfm"] == vfms[0]]
            else:
                names = labels_of(vfms)
                rows = rows.assign(method=[f"{method} ({names[vfm]})" for vfm in rows["vfm"]])
        parts.append(rows)
    return pd.concat(parts).sort_index() if parts else frame
