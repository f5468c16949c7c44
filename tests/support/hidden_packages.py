"""Make a package look as if it were not installed."""

import importlib.util
import sys
from importlib import metadata
from typing import Any

import pytest


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Hide modules or distributions from imports, from ``find_spec`` and from ``importlib.metadata``."""
    find, distribution = importlib.util.find_spec, metadata.distribution

    def find_spec(name: str, *rest: Any) -> Any:
        return None if name.partition(".")[0] in names else find(name, *rest)

    def installed(name: str) -> metadata.Distribution:
        if name in names:
            raise metadata.PackageNotFoundError(name)
        return distribution(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    monkeypatch.setattr(metadata, "distribution", installed)
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
