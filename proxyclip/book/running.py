"""Execute notebooks: a single one with chosen parameters, or the book's chapters in parallel."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
import yaml

from proxyclip.book.checkout import BookError, Layout, chapter_fingerprint, chapter_notebooks, select, write_stamp
from proxyclip.system.atomic import write_text
from proxyclip.system.parallel import cores

#: Chapters that measure speed: no other chapter runs beside them.
ALONE = ("C_efficiency",)

#: What an evaluation writes to stderr while it runs: ``voc21:  50%|#####     | 8/16 [00:02<00:02, 3.10image/s]``, or
#: that it continues an earlier run.
BAR = re.compile(r"[^\r\n]*\d+%\|[^\r\n]*\[[^\r\n]*\]\s*|continuing: \d+ images are counted already[^\r\n]*\s*")


def execute(
    notebook: Path, output: Path, parameters: dict[str, Any], cwd: Path, show: bool = False
) -> nbformat.NotebookNode:
    """Execute a notebook with papermill.

    Parameters
    ----------
    notebook, output : Path
        The notebook as committed, and the file to which the executed copy is written cell by cell.
    parameters : dict
        Values for its ``parameters`` cell.
    cwd : Path
        Folder from which relative paths in the notebook start.
    show : bool
        Whether to show on stderr what the notebook writes while it runs, that is, the progress of its evaluations.

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
    stream = sys.stderr if show else None
    try:
        return papermill.execute_notebook(
            notebook, output, parameters=parameters, kernel_name="python3", cwd=cwd, progress_bar=False,
            stdout_file=stream, stderr_file=stream,
            extra_arguments=["--log-level=40"],  # errors of the kernel, without its warning about a local connection
        )
    except PapermillExecutionError as error:
        raise BookError(f"{notebook.name} stopped: {error.ename}: {error.evalue} (see {output})") from error
    except DeadKernelError as error:
        raise BookError(f"{notebook.name} stopped: its kernel died (see {output})") from error


def run_one(chapter: str, values: dict[str, str], output: Path | None = None, force: bool = False) -> Path:
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
    force : bool
        Also run a chapter that is finished.

    Returns
    -------
    Path
        The executed copy.

    Raises
    ------
    BookError
        If there is no such chapter, and as :func:`execute`.
    """
    (notebook,) = select(chapter_notebooks(), [chapter])
    output = output or Path("runs") / notebook.name
    parameters = {name: yaml.safe_load(text) for name, text in values.items()}
    stamp = output.with_suffix(".finished.json")
    finished = output.is_file() and stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8"))
    if not force and finished and finished == _inputs(notebook, parameters):
        print(f"{notebook.stem} was finished with these settings before; --force runs it again", file=sys.stderr)
        return output
    stamp.unlink(missing_ok=True)
    print(f"{notebook.stem}: running", file=sys.stderr)
    executed = execute(notebook, output, parameters, Path.cwd(), show=True)
    write_text(output, nbformat.writes(_without_bars(executed)))
    write_text(stamp, json.dumps(_inputs(notebook, parameters), indent=1))  # again: the run has written the result
    return output


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """The parameters of a notebook with their default values."""
    cells = [cell.source for cell in nbformat.read(notebook, 4).cells if "parameters" in cell.metadata.get("tags", [])]
    space: dict[str, Any] = {}
    exec("\n".join(cells), space)
    return {name: value for name, value in space.items() if not name.startswith("__")}


def _inputs(notebook: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """Everything that a finished chapter depends on: the notebook, the package, the parameters, the files they name."""
    from proxyclip.system.provenance import digest_of_package

    values = notebook_parameters(notebook) | parameters
    result = Path(values.get("output_dir") or "runs") / f"{notebook.stem[0]}.json"
    named = [value for value in _flat(values) if isinstance(value, str) and Path(value).is_file()]
    return {
        "notebook": hashlib.sha256(notebook.read_bytes()).hexdigest(),
        "package": digest_of_package(),
        "parameters": json.loads(json.dumps(values, default=str)),
        "PROXYCLIP_DATA": os.environ.get("PROXYCLIP_DATA"),
        "files": {name: [Path(name).stat().st_size, Path(name).stat().st_mtime_ns] for name in sorted(named)},
        "result": result.stat().st_mtime_ns if result.is_file() else None,
    }


def _flat(value: Any) -> Iterator[Any]:
    """The single values in nested lists and mappings."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _flat(item)
    else:
        yield value


# ------------------------------------------------------------------------------------------------------- into the book


def _without_bars(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove the progress bars of evaluations from the outputs."""
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = BAR.sub("", output.text).replace("\r", "")
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream" or output.text.strip()]
    return executed


def _with_own_parameters(cell: nbformat.NotebookNode) -> bool:
    """Whether a page shows a cell; the cell of the run's own parameters loses the folders of this machine."""
    if "injected-parameters" not in cell.metadata.get("tags", []):
        return True
    lines = [line for line in cell.source.splitlines() if not line.startswith(("#", "output_dir", "data "))]
    cell.source = "\n".join(["# of this run", *lines])
    cell.metadata.tags = ["parameters"]
    return bool(lines)


def _for_readers(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove papermill's metadata and move the answer to the top, although its cell needs the records and runs late."""
    cells = [cell for cell in executed.cells if _with_own_parameters(cell)]
    answers = [cell for cell in cells if "answer" in cell.metadata.get("tags", [])]
    cells = [cell for cell in cells if cell not in answers]
    executed.cells = [*cells[:1], *answers, *cells[1:]]
    for holder in (executed, *executed.cells):
        holder.metadata.pop("papermill", None)
    executed.metadata.pop("widgets", None)  # for widgets, a page would load scripts from the network
    return _without_bars(executed)


def run_chapter(layout: Layout, notebook: Path) -> float:
    """Execute one notebook into the book.

    The chapter saves into a folder of its own, whose files then move to the book's records. So it is known which files
    are its own while other chapters run, and a chapter that fails leaves the records as they were.

    Parameters
    ----------
    layout : Layout
    notebook : Path
        The notebook as committed; the layout's parameters and ``output_dir`` replace its own.

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
    begun = own / "fingerprint"
    if not begun.is_file() or begun.read_text() != fingerprint:  # else a run on the same inputs is continued
        shutil.rmtree(own, ignore_errors=True)
    write_text(begun, fingerprint)
    partial = own.with_suffix(".ipynb")
    parameters = {**layout.parameters, "output_dir": os.path.relpath(own, layout.notebooks)}
    executed = execute(notebook, partial, parameters, layout.notebooks)
    write_text(layout.executed / notebook.name, nbformat.writes(_for_readers(executed)))
    partial.unlink()
    begun.unlink()
    for progress in own.glob("*.progress"):
        shutil.rmtree(progress)
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
    """Execute notebooks into the book, one for each core at a time, and print a line when one starts and ends.

    Kernels that run side by side share the cores; one that runs alone has a thread for each. When a chapter fails, no
    other starts; those that are running finish and are kept.

    Parameters
    ----------
    layout : Layout
    labels : mapping of Path to str
        The notebooks as committed, and the name under which each is reported.

    Raises
    ------
    BookError
        As :func:`execute`, for the first chapter that fails.
    """
    alone = [notebook for notebook in labels if notebook.stem in ALONE]
    others = [notebook for notebook in labels if notebook.stem not in ALONE]
    # Spawned, because a forked child would wait for threads that only this process has.
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
    """Wait until a chapter ends, remove it from those running and print its time; raise its error if it failed."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        label = labels[running.pop(future)]
        if future.exception() is not None:
            print(f"{label}: stopped; {len(running)} more to finish", flush=True)
        print(f"{label}: {future.result():.0f} s", flush=True)
