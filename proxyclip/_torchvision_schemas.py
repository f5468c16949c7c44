"""Let a CUDA build of torchvision load beside a CPU build of torch.

Package registries offer torchvision wheels built for CUDA. Their compiled operators do not load next to a CPU build of
torch, and ``import torchvision`` stops with ``operator torchvision::nms does not exist`` while it registers the meta
kernels of two of them. It loads if the two schemas are declared first. Neither operator is used here: open_clip and
timm import torchvision for its transforms. If torchvision's operators load, this module changes nothing.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Keeps the registrations alive: torch drops a library's schemas when the object is collected.
_LIBRARY: torch.library.Library | None = None

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _compiled_operators_load() -> bool:
    """Whether torchvision's extension library can be loaded into this torch."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return True  # nothing to repair
    folder = Path(spec.submodule_search_locations[0])
    for library in (*folder.glob("_C*.so"), *folder.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
        return True
    return False


def declare_missing_schemas() -> None:
    """Declare ``torchvision::nms`` and ``torchvision::qnms`` where torchvision's own operators cannot load."""
    global _LIBRARY
    if _LIBRARY is not None or "torchvision" in sys.modules or _compiled_operators_load():
        return
    import torch

    _LIBRARY = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        _LIBRARY.define(name + _SCHEMA)


class _BeforeTorchvision(MetaPathFinder):
    """Finds no module, but declares the schemas when torchvision is about to be imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            declare_missing_schemas()


def declare_before_torchvision() -> None:
    """Declare the schemas as soon as torchvision is imported; until then torch need not be imported."""
    if "torchvision" not in sys.modules and not any(isinstance(one, _BeforeTorchvision) for one in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())
