"""Execute notebooks: a single one with chosen parameters, or the book's chapters in parallel."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import yaml

from proxyclip.book.checkout import BookError, Layout, chapter_fingerprint, find_root, select, write_stamp
from proxyclip.system.atomic import write_text
from proxyclip.system.parallel import cores

#: Chapters that measure speed: nothing else of the book runs beside them.
ALONE = ("C_efficiency",)


def execute(
    notebook: Path, output: Path, parameters: dict[str, Any], cwd: Path, show: bool = False
) -> nbformat.NotebookNode:
    """Execute a notebook with papermill.

    Parameters
    ----------
    notebook, output : Path
        The notebook as committed, and where the executed copy is written cell by cell.
    parameters : dict
        Values for its ``parameters`` cell.
    cwd : Path
        Folder that relative paths in the notebook start from.
    show : bool
        Whether to show the progress, where there is a terminal.

    Returns
    -------
    nbformat.NotebookNode
        The executed notebook.

    Raises
    ------
    BookError
        If the notebook has no such parameter, a cell raises or the kernel dies; the partial result stays in ``output``.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
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
            progress_bar={"desc": notebook.stem, "disable": not (show and sys.stderr.isatty())},
            extra_arguments=["--log-level=40"],  # the kernel warns about its local connection; its errors stay
        )
    except PapermillExecutionError as error:
        raise BookError(f"{notebook.name} stopped: {error.ename}: {error.evalue} (see {output})") from error
    except DeadKernelError as error:
        raise BookError(f"{notebook.name} stopped: its kernel died (see {output})") from error


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
    parameters = {name: yaml.safe_load(text) for name, text in values.items()}
    execute(notebook, output, parameters, Path.cwd(), show=True)
    return output


# ------------------------------------------------------------------------------------------------------- into the book


def _for_readers(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop papermill's bookkeeping, and put the answer behind the question.

    A chapter computes its answer from its records, so the cell comes late; the reader gets it first.
    """
    cells = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    answers = [cell for cell in cells if "answer" in cell.metadata.get("tags", [])]
    cells = [cell for cell in cells if cell not in answers]
    executed.cells = [*cells[:1], *answers, *cells[1:]]
    for holder in (executed, *executed.cells):
        holder.metadata.pop("papermill", None)
    executed.metadata.pop("widgets", None)  # a page with widgets loads scripts from the network
    return executed


def run_chapter(layout: Layout, notebook: Path) -> float:
    """Execute one notebook into the book.

    It saves into a folder of its own, whose files then go to the book's records: what a chapter saved is known
    whatever runs beside it, and a chapter that stops leaves the records as they were.

    Parameters
    ----------
    layout : Layout
    notebook : Path
        The notebook as committed; it runs with its own parameters but for ``output_dir``.

    Returns
    -------
    float
        Wall time in seconds.

    Raises
    ------
    BookError
        As :func:`execute`.
    """
    started = time.monotonic()
    fingerprint = chapter_fingerprint(layout, notebook)
    own = layout.build / "running" / notebook.stem
    shutil.rmtree(own, ignore_errors=True)  # of a run that stopped
    own.mkdir(parents=True)
    partial = own.with_suffix(".ipynb")
    executed = execute(notebook, partial, {"output_dir": os.path.relpath(own, layout.notebooks)}, layout.notebooks)
    write_text(layout.executed / notebook.name, nbformat.writes(_for_readers(executed)))
    partial.unlink()
    records = []
    for saved in sorted(path for path in own.rglob("*") if path.is_file()):
        records.append(layout.records / saved.relative_to(own))
        records[-1].parent.mkdir(parents=True, exist_ok=True)
        saved.replace(records[-1])
    shutil.rmtree(own)
    write_stamp(layout, notebook, fingerprint, records)
    return time.monotonic() - started


def _with_threads(threads: int, layout: Layout, notebook: Path) -> float:
    """Run a chapter in a process of the pool, whose environment the kernel inherits."""
    # A waiting thread then frees its core for the other chapters instead of spinning.
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    return run_chapter(layout, notebook)


def run_chapters(layout: Layout, labels: Mapping[Path, str]) -> None:
    """Execute notebooks into the book, as many at a time as cores, and print a line when one starts and ends.

    The cores are shared: kernels that run side by side have one thread each, one that runs alone has them all.
    When a chapter stops, no other starts; those that run are finished and kept.

    Parameters
    ----------
    layout : Layout
    labels : mapping of Path to str
        The notebooks as committed, and how each is named in what is printed.

    Raises
    ------
    BookError
        As :func:`execute`, for the first chapter that stops.
    """
    alone = [notebook for notebook in labels if notebook.stem in ALONE]
    others = [notebook for notebook in labels if notebook.stem not in ALONE]
    # Spawned, not forked: a forked child would wait for threads that only this process has.
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        for group, places in ((alone, 1), (others, min(cores(), len(others)))):
            running: dict[Future[float], Path] = {}
            for notebook in group:
                if len(running) == places:
                    _await_one(running, labels)
                print(f"{labels[notebook]}: running", flush=True)
                running[pool.submit(_with_threads, cores() // places, layout, notebook)] = notebook
            while running:
                _await_one(running, labels)


def _await_one(running: dict[Future[float], Path], labels: Mapping[Path, str]) -> None:
    """Wait until a chapter ends, take it out and print its time; raise what stopped it."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        label = labels[running.pop(future)]
        if future.exception() is not None:
            print(f"{label}: stopped; {len(running)} more to finish", flush=True)
        print(f"{label}: {future.result():.0f} s", flush=True)
