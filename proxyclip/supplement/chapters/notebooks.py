"""The chapters' notebooks: where they are, their parameters, and how one is executed."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from proxyclip.supplement.typed_values import from_command_line
from proxyclip.system.atomic import without_link, write_text

#: What an evaluation writes to stderr while it runs: ``voc21:  50%|#####     | 8/16 [00:02<00:02, 3.10image/s]``, or
#: that it continues an earlier run.
BAR = re.compile(r"[^\r\n]*\d+%\|[^\r\n]*\[[^\r\n]*\]\s*|continuing: \d+ images are counted already[^\r\n]*\s*")


class NotebookError(ValueError):
    """A chapter cannot run, or stopped; the message gives the reason in one sentence."""


def find_root(start: Path | None = None) -> Path:
    """Find the checkout that holds the book: the nearest folder with ``book/_config.yml``.

    The search goes upwards from ``start``, by default from this package's own folder and then from the current one.
    """
    starts = [start] if start else [Path(__file__).resolve().parent, Path.cwd()]
    for folder in starts:
        for candidate in (folder, *folder.parents):
            if (candidate / "book" / "_config.yml").is_file():
                return candidate
    raise NotebookError("no book/_config.yml here or above: the book is built inside a clone of the repository")


def chapter_notebooks() -> list[Path]:
    """The chapters' notebooks: those of the clone, or those that were installed with the package."""
    installed = Path(__file__).resolve().parents[2] / "notebooks"
    try:
        folder = find_root() / "notebooks"
    except NotebookError:
        folder = installed
    found = sorted(folder.glob("[A-Z]_*.ipynb"))
    if not found:
        raise NotebookError(f"no notebooks in {installed}, and no clone of the repository here or above")
    return found


def select(chapters: Sequence[Path], only: Sequence[str]) -> list[Path]:
    """Pick chapters by letter or by name, such as ``["B", "E_attention_variants"]``; all where no names are given."""
    names = {path: {path.stem, path.stem.split("_")[0]} for path in chapters}
    if unknown := [name for name in only if not any(name in known for known in names.values())]:
        existing = ", ".join(path.stem for path in chapters) or "none yet"
        raise NotebookError(f"no chapter {', '.join(unknown)}; there is: {existing}")
    return [path for path, known in names.items() if not only or known & set(only)]


def execute(
    notebook: Path, output: Path, parameters: dict[str, Any], cwd: Path, show: bool = False
) -> nbformat.NotebookNode:
    """Execute a notebook with papermill and return it; the executed copy is written to ``output`` cell by cell.

    Parameters are values for its ``parameters`` cell, and relative paths in it start from ``cwd``. ``show`` decides
    whether what it writes while it runs, the progress of its evaluations, is shown on stderr. Raises
    :class:`NotebookError` if it has no such parameter, a cell raises or the kernel dies.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    allowed = papermill.inspect_notebook(str(notebook))
    if unknown := [name for name in parameters if name not in allowed]:
        existing = ", ".join(allowed) or "none"
        raise NotebookError(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has {existing}")
    output.parent.mkdir(parents=True, exist_ok=True)
    stream = sys.stderr if show else None
    try:
        return papermill.execute_notebook(
            notebook, without_link(output), parameters=parameters, kernel_name="python3", cwd=cwd, progress_bar=False,
            stdout_file=stream, stderr_file=stream, kernel_manager_class=_kernel_manager(),
            # What goes wrong stands in the notebook, so the kernel logs nothing. Modules are not taken from the folder
            # of the user's files, where a torch.py or a folder proxyclip may lie.
            extra_arguments=["--log-level=50", "--InteractiveShellApp.ignore_cwd=True"],
        )
    except PapermillExecutionError as error:
        raise NotebookError(f"{notebook.name} stopped: {error.ename}: {error.evalue} (see {output})") from error
    except DeadKernelError as error:
        raise NotebookError(f"{notebook.name} stopped: its kernel died (see {output})") from error
    except KeyboardInterrupt:
        logging.disable()  # asyncio reports the cell that nobody waits for any more
        raise


#: Seconds for which a kernel may save what it has counted before it is killed.
PATIENCE = 3.0


def _kernel_manager() -> type:
    """The class of jupyter_client that starts kernels, but ends them by SIGTERM instead of an interrupt and a request.

    An interrupted kernel that is done reports "KeyboardInterrupt caught in kernel", and one that works may take any
    time. On SIGTERM an evaluation saves its counts (:mod:`proxyclip.system.processes`), and a kernel without work ends
    at once.
    """
    from jupyter_client import AsyncKernelManager

    class Terminated(AsyncKernelManager):
        # asynchronous as in AsyncKernelManager, which leaves it typed as its synchronous parent has it
        async def shutdown_kernel(  # type: ignore[override]
            self, now: bool = False, restart: bool = False
        ) -> None:
            if await self.is_alive():
                await self.signal_kernel(signal.SIGTERM)
                end = time.monotonic() + PATIENCE
                while await self.is_alive() and time.monotonic() < end:
                    await asyncio.sleep(0.05)
            await super().shutdown_kernel(now=True, restart=restart)

    return Terminated


def run_one(chapter: str, values: dict[str, str], output: Path | None = None) -> Path:
    """Execute one chapter, by letter or name, with parameters from the command line; return the executed copy's path.

    The values are text, read as papermill reads them: ``{"betas": "[1.0, 1.2]", "device": "cuda"}``; relative paths
    among them start from the current folder, where the copy is by default ``runs/NAME.ipynb``.
    """
    (notebook,) = select(chapter_notebooks(), [chapter])
    output = output or Path("runs") / notebook.name
    parameters = {name: from_command_line(text) for name, text in values.items()}
    print(f"{notebook.stem}: running", file=sys.stderr)
    try:
        executed = execute(notebook, output, parameters, Path.cwd(), show=True)
    except KeyboardInterrupt:
        print(f"{notebook.stem} was interrupted; what it has measured is kept, and the same command continues it",
              file=sys.stderr)
        raise
    write_text(output, nbformat.writes(without_bars(executed)))
    return output


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """The parameters of a notebook with their default values."""
    cells = [cell.source for cell in nbformat.read(notebook, 4).cells if "parameters" in cell.metadata.get("tags", [])]
    space: dict[str, Any] = {}
    exec("\n".join(cells), space)
    return {name: value for name, value in space.items() if not name.startswith("__")}


def without_bars(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove the progress bars of evaluations from the outputs."""
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = BAR.sub("", output.text).replace("\r", "")
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream" or output.text.strip()]
    return executed
