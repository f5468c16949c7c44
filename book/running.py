"""Execute the chapters into the book, and make whatever else takes long, in parallel."""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import nbformat

from book.checkout import Layout, chapter_key, chapter_stamp
from book.stamps import Stamp
from proxyclip.supplement.chapters.notebooks import execute, without_bars
from proxyclip.system.atomic import write_text
from proxyclip.system.processes import cores

#: Chapters that measure speed: no other chapter runs beside them until they have saved the table of it.
ALONE = ("C_efficiency",)
#: First line of the cell that shows with which other parameters this copy ran.
OF_THIS_RUN = "# of this run"


def _with_own_parameters(cell: nbformat.NotebookNode) -> bool:
    """Whether a page shows a cell; the cell of the run's own parameters loses the folders of this machine."""
    if "injected-parameters" not in cell.metadata.get("tags", []):
        return True
    lines = [line for line in cell.source.splitlines() if not line.startswith(("#", "output_dir", "data "))]
    cell.source = "\n".join([OF_THIS_RUN, *lines])
    cell.metadata.tags = ["parameters"]
    return bool(lines)


def _for_readers(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what papermill, widgets and progress bars left behind; no cell is moved."""
    executed.cells = [cell for cell in executed.cells if _with_own_parameters(cell)]
    for left in ("papermill", "widgets"):  # for widgets, a page would load scripts from the network
        executed.metadata.pop(left, None)
    return without_bars(executed)


def _with_prose(executed: nbformat.NotebookNode, notebook: Path) -> list[nbformat.NotebookNode]:
    """The cells of a committed notebook, those with code as in its executed copy, whose code is the same."""
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    cells = []
    for cell in nbformat.read(notebook, 4).cells:
        if cell.cell_type == "code":
            cells.append(ran.pop(0))
            cells[-1].metadata = cell.metadata
            if ran and ran[0].source.startswith(OF_THIS_RUN):
                cells.append(ran.pop(0))
        else:
            cells.append(cell)
    return cells


def renew_prose(layout: Layout, notebook: Path) -> None:
    """Put the text of a committed notebook into its executed copy, where it changed."""
    path = layout.executed / notebook.name
    executed = nbformat.read(path, 4)
    if (cells := _with_prose(nbformat.read(path, 4), notebook)) != executed.cells:
        executed.cells = cells
        write_text(path, nbformat.writes(executed))


def _begun(layout: Layout, notebook: Path) -> tuple[Path, Stamp, str]:
    """The folder of a chapter's run, with the stamp and the key of its inputs; what other inputs left is removed."""
    key, own = chapter_key(layout, notebook), layout.build / "running" / notebook.stem
    begun = Stamp(own / "begun.json")
    if not begun.fits(key):  # else a run on the same inputs is continued
        shutil.rmtree(own, ignore_errors=True)
    begun.write(key)
    return own, begun, key


def run_chapter(layout: Layout, notebook: Path) -> None:
    """Execute one notebook, with the layout's parameters and an ``output_dir`` of its own, into the book.

    The chapter saves into a folder of its own, whose files then move to the book's records. So it is known which files
    are its own while other chapters run, and a chapter that fails with a ``NotebookError`` leaves the records as they
    were.
    """
    own, begun, key = _begun(layout, notebook)
    unfinished = own.with_suffix(".ipynb")
    parameters = {**layout.parameters, "output_dir": os.path.relpath(own, layout.notebooks)}
    executed = execute(notebook, unfinished, parameters, layout.notebooks)
    executed = _for_readers(executed)
    executed.cells = _with_prose(executed, notebook)
    write_text(layout.executed / notebook.name, nbformat.writes(executed))
    unfinished.unlink()
    begun.remove()
    for progress in own.glob("*.progress"):
        shutil.rmtree(progress)
    records = []
    for saved in sorted(path for path in own.rglob("*") if path.is_file()):
        records.append(layout.records / saved.relative_to(own))
        records[-1].parent.mkdir(parents=True, exist_ok=True)
        saved.replace(records[-1])
    shutil.rmtree(own)
    chapter_stamp(layout, notebook).write(key, [layout.executed / notebook.name, *records])


@dataclass(frozen=True)
class Job:
    """Something that the book needs and that a process of its own makes."""

    label: str  #: Under which it is reported.
    #: Without arguments, and importable by the process that calls it. It returns False if nothing had to be done.
    work: Callable[[], bool | None]
    table_in: Path | None = None  #: The next stage begins when a table has been saved in this folder, or at the end.

    def keeps_waiting(self) -> bool:
        """Whether the next stage has to wait for the end of this job, as far as is known now."""
        return self.table_in is None or not any(self.table_in.rglob("tables/*.json"))


def chapter_job(layout: Layout, notebook: Path, label: str) -> Job:
    """Execute one notebook into the book (:func:`run_chapter`)."""
    own, *_ = _begun(layout, notebook)  # now, so that no table of other inputs is taken for the one that is awaited
    return Job(label, partial(run_chapter, layout, notebook), own if notebook.stem in ALONE else None)


def _timed(threads: int, work: Callable[[], bool | None]) -> str:
    """Do the work of a job in a process of the pool, whose environment a kernel inherits; say how long it took."""
    # A waiting thread then frees its core for the other jobs instead of spinning.
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    started = time.monotonic()
    return "unchanged" if work() is False else f"{time.monotonic() - started:.0f} s"


def run_jobs(*stages: Sequence[Job]) -> None:
    """Do jobs, one for each core at a time, and print a line when one starts and ends.

    A stage begins when the one before has ended, or may (:attr:`Job.table_in`), and those before that have. Jobs that
    run side by side share the cores; one that runs alone has a thread for each. When a job fails, no other starts;
    those that are running finish and are kept, and the first ``NotebookError`` is raised.
    """
    # Spawned, because a forked child would wait for threads that only this process has.
    with ProcessPoolExecutor(cores(), get_context("spawn")) as pool:
        running: dict[Future[str], Job] = {}
        for number, stage in enumerate(stages):
            before = stages[number - 1] if number else ()
            while any(job not in before or job.keeps_waiting() for job in running.values()):
                _await_one(running, seconds=0.5)
            places = min(cores(), len(stage))
            for job in stage:
                while len(running) >= places:
                    _await_one(running)
                print(f"{job.label}: running", flush=True)
                running[pool.submit(_timed, max(1, cores() // places), job.work)] = job
        while running:
            _await_one(running)


def _await_one(running: dict[Future[str], Job], seconds: float | None = None) -> None:
    """Wait until a job ends, for some seconds at most; remove it, print its time, and raise its error if it failed."""
    for future in wait(running, seconds, FIRST_COMPLETED).done:
        label = running.pop(future).label
        if future.exception() is not None:
            print(f"{label}: stopped; {len(running)} more to finish", flush=True)
        print(f"{label}: {future.result()}", flush=True)
