"""Run the notebooks and build the book: what ``make book`` and ``proxyclip book`` do.

papermill executes every notebook into ``book/notebooks/`` (see :mod:`book.running`), and Jupyter Book
turns those copies and the written pages into HTML. Only what changed is built again.
"""

import io
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import chdir, redirect_stdout
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from book import drawn
from book.checkout import BookError, Layout, git, is_current
from book.pages.rendering import write_fragments
from book.running import Job, chapter_job, renew_prose, run_jobs
from book.site.downloads import ARCHIVE
from book.site.pdf import PDF
from book.stamps import Stamp, content_key
from proxyclip import __version__
from proxyclip.supplement.chapters.notebooks import find_root, select
from proxyclip.system.atomic import write_text


def table_of_contents(layout: Layout, chapters: Sequence[Path]) -> dict[str, Any]:
    """The contents of ``book/_toc.yml`` without the chapters whose notebook does not exist yet, for Jupyter Book.

    A :class:`BookError` names notebooks that the file does not list.
    """
    toc = yaml.safe_load((layout.sources / "_toc.yml").read_text(encoding="utf-8"))
    present = {f"notebooks/{path.stem}" for path in chapters}
    if missing := sorted(present - {entry["file"] for part in toc["parts"] for entry in part["chapters"]}):
        raise BookError(f"book/_toc.yml does not list {', '.join(missing)}")
    for part in toc["parts"]:
        part["chapters"] = [entry for entry in part["chapters"]
                            if entry["file"] in present or not entry["file"].startswith("notebooks/")]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    return toc


def repository_url(root: Path) -> str | None:
    """The address of the repository on GitHub, to which the launch buttons point; None if it is not there.

    It is that of a GitHub workflow's environment, else the remote called origin.
    """
    server, name = os.environ.get("GITHUB_SERVER_URL"), os.environ.get("GITHUB_REPOSITORY")
    if server and name:
        return f"{server}/{name}"
    address = git(root, "remote", "get-url", "origin")
    match = re.fullmatch(r"(?:https://|git@)github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    return f"https://github.com/{match[1]}" if match else None


def configuration(layout: Layout, edition: str = "", numbers: object = None) -> dict[str, Any]:
    """The contents of ``book/_config.yml`` with what this copy is, and launch buttons where the repository is public.

    The edition, version and commit, stands at the foot of every page; ``numbers`` are those of the tiny world, which
    pages name ``{{ tiny... }}``.
    """
    config = yaml.safe_load((layout.sources / "_config.yml").read_text(encoding="utf-8"))
    sphinx = config.setdefault("sphinx", {}).setdefault("config", {})
    url = repository_url(layout.root)
    sphinx.setdefault("html_context", {}).update(
        edition=edition, archive=ARCHIVE, install_from=url, pdf=PDF if layout.pdf else "")
    sphinx["myst_substitutions"] = {"tiny": numbers}
    sphinx |= {"version": __version__, "templates_path": [str(layout.sources / "_templates")]}
    if url:
        config["repository"] = {"url": url, "branch": "main", "path_to_book": ""}
        config["launch_buttons"] = {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        }
        config.setdefault("html", {})["use_repository_button"] = True
    return config


def _html_key(layout: Layout) -> str:
    """Of the pages' sources; of the package the text counts too, since the interface is made from its docstrings."""
    apart = {layout.build, layout.records}
    sources = [path for path in layout.sources.iterdir() if path not in apart]
    written = [layout.build / "_toc.yml", layout.build / "_config.yml"]
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((layout.root / "proxyclip").rglob("*.py"))
             if "cli" not in path.parts}
    return content_key(layout.root, [*sources, *written], texts=texts)


def build_html(layout: Layout, force: bool = False) -> bool:
    """Build the HTML of the book from the chapters that have run, if anything changed; whether it had to be built.

    A :class:`BookError` says if Jupyter Book fails or warns: a warning is an error.
    """
    # These take seconds to load, in which the chapters can run already.
    from jupyter_book.cli import main as jupyter_book

    from book.pages import obstacles, status_page, tiny_numbers
    from book.pages.ledger_page import write_pages
    from book.pages.protocol_pages import write_protocol_pages

    edition = status_page.edition(layout.root)
    write_pages(layout.records, layout.root / "results", layout.generated)
    status_page.write_page(layout.records, layout.generated, edition)
    write_protocol_pages(layout)
    write_fragments(layout.generated, {"obstacles": obstacles.fragment(layout.records)})
    present = [path for path in layout.chapters() if (layout.executed / path.name).is_file()]
    toc, config = layout.build / "_toc.yml", layout.build / "_config.yml"
    write_text(toc, yaml.safe_dump(table_of_contents(layout, present), sort_keys=False))
    write_text(config, yaml.safe_dump(configuration(layout, edition, tiny_numbers.values()), sort_keys=False))
    stamp, key = Stamp(layout.build / "stamps" / "pages.json"), _html_key(layout)
    if not force and stamp.fits(key):
        return False
    stamp.remove()
    for leftover in ("html", ".doctrees"):  # they may hold pages that were renamed or removed
        shutil.rmtree(layout.build / leftover, ignore_errors=True)
    # Every page is built: an incremental build does not repeat the warnings of unchanged pages.
    options = ["--all", "-W", "--keep-going", "-q", "--toc", str(toc), "--config", str(config)]
    with redirect_stdout(io.StringIO()), chdir(layout.root), warnings.catch_warnings():  # the pages' go to stderr
        warnings.simplefilter("ignore", FutureWarning)  # of torch, of which an extension looks at every object
        try:
            jupyter_book.main(["build", str(layout.sources), *options], standalone_mode=False)
        except (SystemExit, RuntimeError):
            raise BookError("jupyter-book stopped; its warnings above say why") from None
    stamp.write(key, [layout.index])
    return True


def build_book(
    root: Path | None = None, force: bool = False, only: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None, pdf: bool = False,
) -> Path:
    """Run the chapters that changed and build the book; returns its first page.

    ``force`` runs and builds everything, ``only`` the chapters of these letters or names. The parameters replace those
    in every notebook, such as ``{"profile": "paper"}``. With ``pdf`` the pages link to the PDF that will be printed
    (:func:`book.site.pdf.build_pdf`). A ``NotebookError`` says if a notebook fails or ``only`` names no chapter, a
    :class:`BookError` if the pages cannot be built.
    """
    layout = Layout(root or find_root(), dict(parameters or {}), pdf)
    layout.build.mkdir(parents=True, exist_ok=True)
    lock = FileLock(layout.build / ".lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        print("another process builds this book; waiting for it", flush=True)
        held = lock.acquire()
    with held:
        return _build(layout, force, only)


def _build(layout: Layout, force: bool, only: Sequence[str]) -> Path:
    if find_spec("jupyter_book") is None:  # before the chapters run for minutes
        raise BookError('the book needs Jupyter Book, which is not installed: pip install "proxyclip[book]"')
    chapters = layout.chapters()
    chosen = select(chapters, only)
    alone: list[Job] = []
    others: list[Job] = []
    for number, notebook in enumerate(chosen, start=1):
        label = f"[{number}/{len(chosen)}] {notebook.stem}"
        if force or not is_current(layout, notebook):
            job = chapter_job(layout, notebook, label)
            (others if job.table_in is None else alone).append(job)
        else:
            renew_prose(layout, notebook)
            print(f"{label}: unchanged", flush=True)
    for leftover in set(layout.executed.glob("*.ipynb")) - {layout.executed / path.name for path in chapters}:
        leftover.unlink()  # its notebook was removed or renamed
    # The pages come last, in a process that has loaded the package for the drawings.
    run_jobs(alone, [*others, *drawn.jobs(layout, force)], [Job("pages", partial(build_html, layout, force))])
    return layout.index
