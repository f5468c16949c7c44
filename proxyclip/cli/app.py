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
from proxyclip.cli.diagnose_command import diagnose
from proxyclip.cli.evaluate_command import evaluate
from proxyclip.cli.explore_command import explore, split_classes
from proxyclip.cli.prepare_command import prepare
from proxyclip.cli.protocol_command import protocol

app = typer.Typer(
    help="Open-vocabulary segmentation with proxy attention, and the book that reproduces the ProxyCLIP supplement.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (evaluate, explore, protocol, diagnose):
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
def segment(
    image: Annotated[Path, typer.Argument(help="The photo.", show_default=False)],
    classes: Annotated[
        str | None, typer.Option(help='Classes, separated by commas; several words for one class by semicolons: '
                                      '"sky; cloud, horse, grass".')
    ] = None,
    classes_file: Annotated[Path | None, typer.Option(help="A class per line instead, queries separated by ;")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write.")] = Path("segmentation.png"),
    profile: Annotated[
        str | None, typer.Option(help='"tiny" (shipped, offline) or "paper" (full-size models). [default: paper where '
                                      'a full-size model or its weights are named, else tiny]')
    ] = None,
    rule: Annotated[str, typer.Option(help="What CLIP attends to: adaptive, hard:0.4, qq, maskclip, …")] = "adaptive",
    prob_threshold: Annotated[
        float | None, typer.Option(help="Below this probability a pixel belongs to the first class.")
    ] = None,
    pamr: Annotated[bool, typer.Option("--pamr", help="Refine the masks by the photo's colours.")] = False,
    clip: Annotated[str | None, typer.Option(help="open_clip architecture.")] = None,
    clip_weights: Annotated[str | None, typer.Option(help='A file, a published tag, or "random".')] = None,
    vfm: Annotated[str | None, typer.Option(help="Vision foundation model.")] = None,
    vfm_weights: Annotated[str | None, typer.Option(help='A file, or "random".')] = None,
    window: Annotated[int | None, typer.Option(help="Side of the sliding window, pixels.")] = None,
    stride: Annotated[int | None, typer.Option(help="Step of the sliding window, pixels.")] = None,
    short_side: Annotated[
        int | None, typer.Option(help="Resize the short side first (default: 336, tiny: 128); 0 keeps the size.")
    ] = None,
    device: Annotated[str, typer.Option(help='Where the models run, such as "cpu" or "cuda".')] = "cpu",
) -> None:
    """Label every pixel of a photo with your words."""
    import proxyclip

    if classes is not None and classes_file is not None:
        raise ValueError("--classes and --classes-file exclude each other; give one")
    if classes_file is not None:
        entries = [line for line in classes_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        entries = split_classes(classes or "")
    vocabulary = proxyclip.Vocabulary.parse(entries)
    pixels = proxyclip.read_image(image)
    attention = proxyclip.parse_rule(rule)
    if profile is None:
        from proxyclip.loading import profile_of

        profile = profile_of(clip, clip_weights, vfm or "default", vfm_weights)
    if short_side is None:
        short_side = {"paper": 336, "tiny": 128}.get(profile)
    model = proxyclip.load(
        profile, clip=clip, clip_weights=clip_weights, vfm=vfm or "default",
        vfm_weights=vfm_weights, window=window, stride=stride, short_side=short_side or None, device=device,
    )
    refine = proxyclip.PAMR() if pamr else None
    result = model.segment(pixels, vocabulary, attention, prob_threshold, refine)
    result.save(output)
    console = Console(highlight=False)
    refined = f" + {refine.name}" if refine else ""
    console.print(f"{model.describe()}, rule {attention.name}{refined}", soft_wrap=True)
    untrained = [name for name, weights in (("CLIP", clip_weights), ("the VFM", vfm_weights)) if weights == "random"]
    if untrained:
        untrained_models = " and ".join(untrained)
        console.print(f"untrained: {untrained_models} (random weights); the labels have no meaning", soft_wrap=True)
    for name, share in result.shares().items():
        console.print(f"{100 * share:6.1f} %  {name}", soft_wrap=True)
    console.print(f"{output}", soft_wrap=True)


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
