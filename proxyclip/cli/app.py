"""The command line: the application with all its commands, and how errors are shown."""

from __future__ import annotations

import errno
import logging
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from proxyclip.cli.chapter_jobs import assignment
from proxyclip.cli.evaluate_command import evaluate
from proxyclip.cli.explore_command import explore
from proxyclip.cli.prepare_command import prepare
from proxyclip.cli.protocol_command import diagnose, protocol
from proxyclip.cli.segment_command import segment

app = typer.Typer(
    help="Open-vocabulary segmentation with proxy attention, and the book that reproduces the ProxyCLIP supplement.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (segment, evaluate, explore, protocol, diagnose):
    app.command()(command)
app.add_typer(prepare, name="prepare")

#: Errors the user can fix: one sentence and exit code 2. Anything else is a defect and shows its traceback.
USER_ERRORS = (ValueError, OSError)

#: Errors of the file system that are no defect of this package: no room, over the quota, not writable.
FIXABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def main() -> None:
    """Run the command line; an error the user can fix ends with one sentence and exit code 2."""
    logging.getLogger().setLevel(logging.ERROR)  # the commands themselves report what libraries would log
    warnings.showwarning = _show_warning
    try:
        app()
    except USER_ERRORS as error:
        if type(error) is OSError and error.errno not in FIXABLE:
            raise
        print(f"proxyclip: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(2) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split())


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
    force: Annotated[bool, typer.Option(help="Also run a chapter that is finished with the same settings.")] = False,
) -> None:
    """Run one chapter's notebook with papermill; the same command continues a run that was interrupted."""
    from proxyclip.supplement.chapters.notebooks import run_one

    values = dict(assignment(text) for text in parameter or [])
    print(run_one(chapter, values, output, force))


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
def doctor(
    chapter: Annotated[str | None, typer.Argument(help="A chapter: what it needs, and how long it will take.",
                                                  show_default=False)] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, as for the chapter; may be repeated.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Root of the benchmarks. [default: $PROXYCLIP_DATA]")] = None,
) -> None:
    """Report what is installed, which weights and data are present, and where to get what is missing."""
    if chapter is not None:
        from proxyclip.cli.chapter_jobs import chapter_parameters
        from proxyclip.cli.checklist import check_needs

        given = [*(parameter or []), *([f"data={data}"] if data else [])]
        if not any(text.startswith("profile=") for text in given):
            given.append("profile=paper")
        if not check_needs(Console(highlight=False), *chapter_parameters(chapter, given)):
            raise typer.Exit(1)
        return
    from proxyclip.cli.doctor import report

    report(Console(highlight=False), data)
