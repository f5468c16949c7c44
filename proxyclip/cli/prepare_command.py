"""``proxyclip prepare``: label files of benchmarks from their official downloads."""

from pathlib import Path
from typing import Annotated

import typer

prepare = typer.Typer(help="Make label files of a benchmark from its official download.", no_args_is_help=True)

Root = Annotated[Path, typer.Option("--data", help="Folder of the set; its layout is written below it.")]
Overwrite = Annotated[bool, typer.Option(help="Overwrite files that exist already.")]
Names = Annotated[Path, typer.Option(help="The list that comes with them (labels.txt).")]


def _run(preparation: str, *arguments: object) -> None:
    """Run a function of :mod:`proxyclip.data.prepare`, which loads numpy and Pillow: --help does not need them."""
    from proxyclip.data import prepare as preparations

    done = getattr(preparations, preparation)(*arguments)
    print(f"{done.folder}: {done.written} label files written, {done.kept} existed already")
    if done.note:
        print(f"note: {done.note}")


@prepare.command("coco-object")
def coco_object(
    instances: Annotated[Path, typer.Argument(help="The folder stuffthingmaps/val2017, or instances_val2017.json.")],
    data: Root,
    names: Annotated[Path | None, typer.Option(help="For stuffthingmaps: the list that comes with them.")] = None,
    unlabelled: Annotated[
        str, typer.Option(help='For stuffthingmaps: unlabelled pixels are "background", as published, or "ignored".')
    ] = "background",
    overwrite: Overwrite = False,
) -> None:
    """COCO-Object from COCO-Stuff's maps, as published, or from COCO's instances.

    The maps hold one label per pixel, chosen by the annotators where things overlap; stuff and unlabelled pixels are
    background. Instances are painted from the largest to the smallest, and pixels without an instance are background.
    """
    if instances.is_dir() != (names is not None):
        raise ValueError("coco-object takes instances_val2017.json, or a folder of maps with --names labels.txt")
    if names:
        _run("coco_object_from_maps", instances, names, data, overwrite, unlabelled)
    else:
        _run("coco_object", instances, data, overwrite)


@prepare.command("coco-stuff")
def coco_stuff(
    maps: Annotated[Path, typer.Argument(help="stuffthingmaps/val2017")],
    data: Root,
    names: Names,
    overwrite: Overwrite = False,
) -> None:
    """COCO-Stuff from its official maps."""
    _run("coco_stuff", maps, names, data, overwrite)


@prepare.command("context")
def context(
    maps: Annotated[Path, typer.Argument(help="Folder of the official .mat files, or trainval_merged.json.")],
    data: Root,
    names: Annotated[Path | None, typer.Option(help="For .mat files: their list of names (labels.txt).")] = None,
    split: Annotated[
        Path | None, typer.Option(help="Validation ids. [default: the set's val.txt, or those of the JSON or VOC 2010]")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Context-59 and Context-60 from PASCAL Context's official maps; writes the list of validation images too."""
    _run("context", maps, names, data, split, overwrite)


@prepare.command("pc459")
def pc459(
    maps: Annotated[Path, typer.Argument(help="Folder of the official .mat files.")],
    data: Root,
    names: Names,
    split: Annotated[Path, typer.Option(help="Ids of the validation images, one per line.")],
    overwrite: Overwrite = False,
) -> None:
    """PC459 from PASCAL Context's official maps."""
    _run("pc459", maps, names, data, split, overwrite)


@prepare.command("cityscapes")
def cityscapes(
    annotations: Annotated[Path, typer.Argument(help="gtFine of the official archive.")],
    data: Root,
    overwrite: Overwrite = False,
) -> None:
    """Cityscapes' train ids from its official label maps or polygons."""
    _run("cityscapes", annotations, data, overwrite)


@prepare.command("ade847")
def ade847(
    release: Annotated[Path, typer.Argument(help="The unpacked full ADE20K release.")],
    data: Root,
    overwrite: Overwrite = False,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="Keep the size of images and labels instead of a short side of 512.")
    ] = False,
) -> None:
    """ADE847 from the colour-coded maps of the full ADE20K release, reduced to a short side of 512 as published."""
    _run("ade847", release, data, overwrite, full_size)
