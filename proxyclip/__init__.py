"""ProxyCLIP, re-implemented for the executable edition of its supplement.

Names are imported when they are first used: torch, timm and open_clip take seconds to import, for which ``proxyclip
--help`` and the processes that only start notebooks need not wait.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from proxyclip import _torchvision_schemas

if TYPE_CHECKING:
    from proxyclip.data.datasets import dataset
    from proxyclip.data.folders import folder_dataset
    from proxyclip.evaluation.evaluator import evaluate
    from proxyclip.evaluation.paired_comparison import compare
    from proxyclip.inference.images import read_image
    from proxyclip.inference.pamr import PAMR
    from proxyclip.inference.segmentation import Segmentation
    from proxyclip.loading import load
    from proxyclip.models.changed_geometry import with_geometry
    from proxyclip.models.registry import register_vfm, unregister_vfm
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
        parse_rule,
    )
    from proxyclip.segment import ProxyCLIP
    from proxyclip.text import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "GEM",
    "NACLIP",
    "PAMR",
    "SCLIP",
    "Adaptive",
    "ClearCLIP",
    "ClipAttention",
    "HardMask",
    "Identity",
    "MaskCLIP",
    "ProxyCLIP",
    "Rule",
    "Segmentation",
    "Vanilla",
    "Vocabulary",
    "compare",
    "dataset",
    "evaluate",
    "folder_dataset",
    "load",
    "parse_rule",
    "read_image",
    "register_vfm",
    "unregister_vfm",
    "with_geometry",
]

#: The modules of the names that are not rules.
_MODULES = {
    "PAMR": "inference.pamr",
    "ProxyCLIP": "segment",
    "Segmentation": "inference.segmentation",
    "Vocabulary": "text",
    "compare": "evaluation.paired_comparison",
    "dataset": "data.datasets",
    "evaluate": "evaluation.evaluator",
    "folder_dataset": "data.folders",
    "load": "loading",
    "read_image": "inference.images",
    "register_vfm": "models.registry",
    "unregister_vfm": "models.registry",
    "with_geometry": "models.changed_geometry",
}

_torchvision_schemas.declare_before_torchvision()


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'rules')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
