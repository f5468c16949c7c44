"""The command line: the application with all its commands, and how errors are shown."""

import errno
import io
import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from proxyclip.cli.chapter_jobs import assignment
from proxyclip.cli.evaluate_command import evaluate
from proxyclip.cli.options import FolderOptions, with_options
from proxyclip.cli.photo_commands import explore, segment
from proxyclip.cli.prepare_command import prepare
from proxyclip.cli.protocol_command import diagnose, protocol
from proxyclip.cli.score_commands import compare, results, score
from proxyclip.system.extras import explained

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (segment, evaluate, compare, score, results, explore, protocol, diagnose):
    app.command()(command)
app.add_typer(prepare, name="prepare")

#: Errors the user can fix: one sentence and exit code 2. Anything else is a defect: one sentence that says so, and 1.
USER_ERRORS = (ValueError, OSError)

#: Errors of the file system that are no defect of this package: no room, over the quota, not writable, a bad name.
FIXABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG)

#: How the system, PyTorch and the loader of shared libraries say that memory was refused, as under ``ulimit -v``.
OUT_OF_MEMORY = ("allocate memory", "out of memory", "bad_alloc", "failed to map segment", "can't start new thread")


@app.callback()
def every_command(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error. Any place will do.")] = False,
) -> None:
    """Open-vocabulary segmentation with proxy attention, and the book that reproduces the ProxyCLIP supplement."""


def main() -> None:
    """Run the command line; an error the user can fix ends with one sentence and exit code 2."""
    logging.getLogger().setLevel(logging.ERROR)  # the commands themselves report what libraries would log
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal does not have must not end a command
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    try:
        with explained():
            app()
    except Exception as error:
        if debug:
            raise
        users = isinstance(error, USER_ERRORS) and (type(error) is not OSError or error.errno in FIXABLE)
        print(f"proxyclip: {_sentence(error) if users else _defect(error)}", file=sys.stderr)
        raise SystemExit(2 if users else 1) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split())


def _defect(error: Exception) -> str:
    """One line for an error that no check has caught; libraries write many, and say at first what is wrong."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
        return "not enough memory; a smaller --short-side, a smaller --batch or fewer classes take less"
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return f"{type(error).__name__}: {first} (--debug shows where)"


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    if issubclass(category, UserWarning):
        print(f"proxyclip: {message}", file=sys.stderr)


@app.command()
def run(
    chapter: Annotated[str, typer.Argument(help="Letter or name of a chapter, such as G.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Executed notebook to write.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE for the notebook; may be repeated.")
    ] = None,
) -> None:
    """Run one chapter's notebook with papermill; the same command continues a run that was interrupted."""
    from proxyclip.supplement.chapters.notebooks import run_one

    values = dict(assignment(text) for text in parameter or [])
    print(run_one(chapter, values, output))


@app.command()
def chapters() -> None:
    """List the chapters and the paths of their notebooks."""
    from proxyclip.supplement.chapters.notebooks import chapter_notebooks

    for path in chapter_notebooks():
        print(f"{path.stem[0]}  {path}")


@app.command()
def book(force: Annotated[bool, typer.Option(help="Run and build everything, changed or not.")] = False) -> None:
    """Run the chapters that changed and build the book; the last line is its path."""
    import subprocess

    from proxyclip.supplement.chapters.notebooks import find_root

    command = [sys.executable, "-m", "book", *(["--force"] if force else [])]
    raise typer.Exit(subprocess.run(command, cwd=find_root(), check=False).returncode)


@app.command()
@with_options
def doctor(
    own: FolderOptions,
    chapter: Annotated[str | None, typer.Argument(help="A chapter: what it needs, and how long it will take.",
                                                  show_default=False)] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, as for the chapter; may be repeated.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Root of the benchmarks. [default: $PROXYCLIP_DATA]")] = None,
    dataset: Annotated[str | None, typer.Option(help="Read every file of this set; as well: --images.")] = None,
) -> None:
    """Report what is installed, which weights and data are present, and where to get what is missing.

    Of a set that you name, it reads every file: sizes that do not fit, values that are no class, classes that never
    occur.
    """
    if chapter is not None:
        from proxyclip.cli.chapter_jobs import chapter_parameters
        from proxyclip.cli.checklist import check_needs

        given = [*(parameter or []), *([f"data={data}"] if data else [])]
        if not any(text.startswith("profile=") for text in given):
            given.append("profile=paper")
        if not check_needs(*chapter_parameters(chapter, given)):
            raise typer.Exit(1)
        return
    from proxyclip.cli.doctor import report, report_set

    if own.given or dataset is not None:
        from proxyclip.data.datasets import dataset as open_dataset

        subject = own.open() if own.given else open_dataset(str(dataset), data)
        if not report_set(subject):
            raise typer.Exit(1)
        return
    report(data)
