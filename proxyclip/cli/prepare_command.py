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
    if done.note:
        print(f"note: {done.note}")


@prepare.command("coco-object")
def coco_object(
    instances: Annotated[Path, typer.Argument(help="instances_val2017.json, or the folder stuffthingmaps/val2017.")],
    data: Root,
    names: Annotated[Path | None, typer.Option(help="For stuffthingmaps: the list that comes with them.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """COCO-Object from COCO's instances, or from COCO-Stuff's maps.

    Instances are painted from the largest to the smallest, and what none covers is background. The maps hold one label
    per pixel, chosen by their makers where things overlap; stuff is background and unlabelled pixels are ignored.
    """
    from proxyclip.data import prepare

    if instances.is_dir() != (names is not None):
        raise ValueError("coco-object takes instances_val2017.json, or a folder of maps with --names labels.txt")
    _say(prepare.coco_object_from_maps(instances, names, data, overwrite) if names
         else prepare.coco_object(instances, data, overwrite))


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
    maps: Annotated[Path, typer.Argument(help="Folder of the official .mat files, or trainval_merged.json.")],
    data: Root,
    names: Annotated[
        Path | None, typer.Option(help="For .mat files: the list that comes with them (labels.txt).")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Validation ids. [default: the set's val.txt, or those of the JSON or VOC 2010]")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Context-59 and Context-60 from PASCAL Context's official maps; writes the list of validation images too."""
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


@prepare.command("cityscapes")
def cityscapes(
    annotations: Annotated[Path, typer.Argument(help="gtFine of the official archive.")],
    data: Root,
    overwrite: Overwrite = False,
) -> None:
    """Cityscapes' train ids from its official label maps or polygons."""
    from proxyclip.data import prepare

    _say(prepare.cityscapes(annotations, data, overwrite))


@prepare.command("ade847")
def ade847(
    release: Annotated[Path, typer.Argument(help="The unpacked full ADE20K release.")],
    data: Root,
    overwrite: Overwrite = False,
) -> None:
    """ADE847 from the colour-coded maps of the full ADE20K release."""
    from proxyclip.data import prepare

    _say(prepare.ade847(release, data, overwrite))
