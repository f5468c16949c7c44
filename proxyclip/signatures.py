"""Signatures of the book's interface page: a Sphinx extension that lets Sphinx read those of dataclasses.

``dataclasses`` writes a default that is made anew for each object as ``<factory>``. That is no Python, so Sphinx would
show the whole signature as it stands, with the full paths of its types and without links.
"""

from __future__ import annotations

from typing import Any


def readable(signature: str | None) -> str | None:
    """The signature with three dots for a default that a factory makes."""
    return signature and signature.replace("<factory>", "...")


def _on_signature(
    app: Any, what: str, name: str, found: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    return readable(signature), returned


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx: the extension is named in ``book/_config.yml``."""
    app.connect("autodoc-process-signature", _on_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
