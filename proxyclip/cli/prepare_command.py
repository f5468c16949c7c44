"""``proxyclip prepare``: label files of benchmarks from their official downloads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from proxyclip.data.prepare import Prepared

prepare = typer.Typer(help="Make label files of a benchmark from its official download.", no_args_is_help=True)

Root = Annotated[Path, typer.Option("--data", help="Folder of the set; its layout is written below it.")]
Overwrite = Annotated[bool, typer.Option(help="Overwrite files that exist already.")]
Maps = Annotated[Path, typer.Argument(help="Folder of the official .mat files.")]
Names = Annotated[Path, typer.Option(help="The list that comes with them (labels.txt).")]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.add_typer(prepare, name="prepare")


def _say(done: Prepared) -> None:
    print(f"{done.folder}: {done.written} label files written, {done.kept} were there")


@prepare.command("coco-object")
def coco_object(
    instances: Annotated[Path, typer.Argument(help="instances_val2017.json")],
    data: Root,
    overwrite: Overwrite = False,
) -> None:
    """COCO-Object from COCO's instances."""
    from proxyclip.data import prepare

    _say(prepare.coco_object(instances, data, overwrite))


@prepare.command("coco-stuff")
def coco_stuff(
    maps: Annotated[Path, typer.Argument(help="stuffthingmaps/val2017")],
    data: Root,
    names: Names,
    overwrite: Overwrite = False,
) -> None:
    """COCO-Stuff from its official maps."""
    from proxyclip.data import prepare

    _say(prepare.coco_stuff(maps, names, data, overwrite))


@prepare.command("context")
def context(
    maps: Maps,
    data: Root,
    names: Names,
    split: Annotated[Path | None, typer.Option(help="Ids to prepare. [default: the set's val.txt, or all]")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Context-59 and Context-60 from PASCAL Context's official maps."""
    from proxyclip.data import prepare

    _say(prepare.context(maps, names, data, split, overwrite))


@prepare.command("pc459")
def pc459(
    maps: Maps,
    data: Root,
    names: Names,
    split: Annotated[Path, typer.Option(help="Ids of the validation images, one per line.")],
    overwrite: Overwrite = False,
) -> None:
    """PC459 from PASCAL Context's official maps."""
    from proxyclip.data import prepare

    _say(prepare.pc459(maps, names, data, split, overwrite))


@prepare.command("ade847")
def ade847(
    release: Annotated[Path, typer.Argument(help="The unpacked full ADE20K release.")],
    data: Root,
    overwrite: Overwrite = False,
) -> None:
    """ADE847 from the colour-coded maps of the full ADE20K release."""
    from proxyclip.data import prepare

    _say(prepare.ade847(release, data, overwrite))
