"""Execute the notebooks into the book, one chapter each, and skip those whose inputs did not change.

A chapter depends on its own cells, on the package (weights included) and on the pinned environment. The
executed copy goes to ``book/notebooks/``: a page of the book has the path of its notebook in the repository.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

from proxyclip.atomic import replacing

#: Modules that cannot change what a notebook computes; an edit to them re-runs nothing.
NOT_READ_BY_NOTEBOOKS = frozenset({"book.py", "ledger.py", "chapters.py", "cli.py", "narrow.py"})

#: Where a notebook saves its records, seen from ``notebooks/``.
RECORDS = "../book/data"


class BookError(ValueError):
    """A notebook or a step of the build stopped for a reason that its message tells in one sentence."""


@dataclass(frozen=True)
class Layout:
    """The folders of one checkout.

    Parameters
    ----------
    root : Path
        The folder that holds ``book/`` and ``notebooks/``.
    """

    root: Path

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


def find_root(start: Path | None = None) -> Path:
    """Find the checkout that holds the book.

    Parameters
    ----------
    start : Path, optional
        Folder to search upwards from; by default this package's own folder, then the current one.

    Returns
    -------
    Path
        The nearest folder with ``book/_config.yml``.

    Raises
    ------
    BookError
        If there is none, as for a package installed without its repository.
    """
    starts = [start] if start else [Path(__file__).resolve().parent, Path.cwd()]
    for folder in starts:
        for candidate in (folder, *folder.parents):
            if (candidate / "book" / "_config.yml").is_file():
                return candidate
    raise BookError("no book/_config.yml here or above: the book is built inside a clone of the repository")


def digest(paths: Iterable[Path], relative_to: Path) -> str:
    """SHA-256 over names and contents, independent of the order in which a file system lists them."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.relative_to(relative_to).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _package_files(root: Path) -> list[Path]:
    package = root / "proxyclip"
    return [
        path
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.name not in NOT_READ_BY_NOTEBOOKS
    ]


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
        Hexadecimal SHA-256 over the notebook, the package with its weights, and the pinned environment.
    """
    files = [notebook, *_package_files(layout.root)]
    pins = layout.root / "constraints.txt"
    if pins.is_file():
        files.append(pins)
    return digest(files, layout.root)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old content or the new, never a part."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _stamp(layout: Layout, notebook: Path) -> Path:
    return layout.build / "stamps" / f"{notebook.stem}.json"


def is_current(layout: Layout, notebook: Path) -> bool:
    """Whether the executed copy and the records it saved are there and belong to the present inputs.

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


def _for_readers(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop papermill's bookkeeping: the reader gets the notebook as committed, with outputs."""
    executed.cells = [
        cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    for holder in (executed, *executed.cells):
        holder.metadata.pop("papermill", None)
    executed.metadata.pop("widgets", None)  # a page with widgets loads scripts from the network
    return executed


def execute(notebook: Path, output: Path, parameters: dict[str, Any], cwd: Path) -> nbformat.NotebookNode:
    """Execute a notebook with papermill, showing the progress on a terminal.

    Parameters
    ----------
    notebook, output : Path
        The notebook as committed, and where the executed copy is written cell by cell.
    parameters : dict
        Values for its ``parameters`` cell.
    cwd : Path
        Folder that relative paths in the notebook start from.

    Returns
    -------
    nbformat.NotebookNode
        The executed notebook.

    Raises
    ------
    BookError
        If the notebook has no such parameter, or a cell raises; the partial result stays in ``output``.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    allowed = papermill.inspect_notebook(str(notebook))
    if unknown := [name for name in parameters if name not in allowed]:
        raise BookError(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has {', '.join(allowed) or 'none'}")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        return papermill.execute_notebook(
            notebook,
            output,
            parameters=parameters,
            kernel_name="python3",
            cwd=cwd,
            progress_bar={"desc": notebook.stem, "disable": not sys.stderr.isatty()},
            extra_arguments=["--log-level=40"],  # the kernel warns about its local connection; its errors stay
        )
    except PapermillExecutionError as error:
        raise BookError(f"{notebook.name} stopped: {error.ename}: {error.evalue} (see {output})") from error


def run_chapter(layout: Layout, notebook: Path) -> float:
    """Execute one notebook into the book.

    Parameters
    ----------
    layout : Layout
    notebook : Path
        The notebook as committed; it runs with its own parameters, ``output_dir`` being the book's.

    Returns
    -------
    float
        Wall time in seconds.

    Raises
    ------
    BookError
        As :func:`execute`.
    """
    started = time.time()
    fingerprint = chapter_fingerprint(layout, notebook)
    records = layout.sources / "data"
    records.mkdir(parents=True, exist_ok=True)
    partial = layout.build / "running" / notebook.name
    executed = execute(notebook, partial, {"output_dir": RECORDS}, layout.notebooks)
    write_atomically(layout.executed / notebook.name, nbformat.writes(_for_readers(executed)))
    partial.unlink()
    saved = [path for path in records.rglob("*") if path.is_file() and path.stat().st_mtime >= started - 1]
    stamp = {
        "fingerprint": fingerprint,
        "records": sorted(path.relative_to(layout.root).as_posix() for path in saved),
    }
    write_atomically(_stamp(layout, notebook), json.dumps(stamp, indent=1))
    return time.time() - started


def run_one(chapter: str, values: dict[str, str], output: Path | None = None) -> Path:
    """Execute one chapter with parameters from the command line.

    Parameters
    ----------
    chapter : str
        Letter or name, such as ``G`` or ``G_qualitative``.
    values : dict
        Parameters as text, read as YAML: ``{"betas": "[1.0, 1.2]", "device": "cuda"}``. Relative paths among them
        start from the current folder.
    output : Path, optional
        The executed copy; by default ``runs/NAME.ipynb`` in the current folder.

    Returns
    -------
    Path
        The executed copy.

    Raises
    ------
    BookError
        If there is no such chapter, and as :func:`execute`.
    """
    (notebook,) = select(Layout(find_root()).chapters(), [chapter])
    output = output or Path("runs") / notebook.name
    execute(notebook, output, {name: yaml.safe_load(text) for name, text in values.items()}, Path.cwd())
    return output


def select(chapters: Sequence[Path], only: Sequence[str]) -> list[Path]:
    """Pick chapters by letter or by name.

    Parameters
    ----------
    chapters : sequence of Path
        The notebooks that exist.
    only : sequence of str
        Such as ``["B", "E_attention_variants"]``; empty for all.

    Returns
    -------
    list of Path
        In the order of ``chapters``.

    Raises
    ------
    BookError
        If a name fits no notebook.
    """
    if not only:
        return list(chapters)
    chosen = [path for path in chapters if path.stem in only or path.stem.split("_")[0] in only]
    known = {path.stem for path in chosen} | {path.stem.split("_")[0] for path in chosen}
    if unknown := [name for name in only if name not in known]:
        letters = ", ".join(path.stem for path in chapters) or "none yet"
        raise BookError(f"no chapter {', '.join(unknown)}; there is: {letters}")
    return chosen
