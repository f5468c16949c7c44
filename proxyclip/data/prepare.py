"""From the official downloads to the layouts of :mod:`proxyclip.data.benchmarks`.

Which number means which class is never written down here: it is read from the names that come with each
download and matched with the class lists of :mod:`proxyclip.data.vocab`; a class without a match is an error.

What the paper does not say is a choice, and is called one: COCO-Object paints overlapping instances from the
largest to the smallest, so that what lies in front or within stays visible.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.data import vocab
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.release_index import ade_object_names, lookup_table, match_names, numbered_names, translate
from proxyclip.data.samples import DataError, SampleError, load_picture
from proxyclip.system.atomic import replacing


@dataclass(frozen=True)
class Prepared:
    """What a preparation has done.

    Attributes
    ----------
    folder : Path
        Where the label files are.
    written, kept : int
        Label files written now, and found there already.
    """

    folder: Path
    written: int
    kept: int


def _write(path: Path, labels: np.ndarray) -> None:
    kind = np.uint16 if path.suffix == ".tif" else np.uint8
    with replacing(path) as partial:
        Image.fromarray(labels.astype(kind)).save(partial)


def _prepare(folder: Path, jobs: Iterable[tuple[Path, Callable[[], np.ndarray]]], overwrite: bool) -> Prepared:
    """Write each label file that is not there yet."""
    written = kept = 0
    for path, make in jobs:
        if path.exists() and not overwrite:
            kept += 1
            continue
        _write(path, make())
        written += 1
    if written + kept == 0:
        raise DataError(f"{folder}: nothing to prepare, the download holds no file for it")
    return Prepared(folder, written, kept)


def coco_object(instances: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Draw COCO-Object's label maps from the official instances (``instances_val2017.json``).

    Stored values: 0 for no object, 1 to 80 in the order of the class list. Overlapping instances are painted
    from the largest to the smallest; crowds are painted too.

    Parameters
    ----------
    instances : Path
    root : Path
        ``annotations/val2017/*_instanceTrainIds.png`` is written below it.
    overwrite : bool
        Overwrite files that exist already.

    Returns
    -------
    Prepared

    Raises
    ------
    DataError
        When the file is no COCO instances file, or a class of the list is none of its categories.
    """
    from pycocotools import mask as masks

    try:
        record = json.loads(Path(instances).read_text(encoding="utf-8"))
        images, annotations = record["images"], record["annotations"]
        categories = {entry["id"]: entry["name"] for entry in record["categories"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{instances}: not an instances file of COCO ({error})") from error
    names = vocab.load("coco_object").names
    classes = {number: k + 1 for number, k in match_names(names[1:], categories, str(instances)).items()}
    by_image: dict[int, list[dict]] = {}
    for annotation in annotations:
        by_image.setdefault(annotation["image_id"], []).append(annotation)

    def draw(image: dict) -> np.ndarray:
        labels = np.zeros((image["height"], image["width"]), np.uint8)
        for entry in sorted(by_image.get(image["id"], []), key=lambda entry: -entry["area"]):
            shape = entry["segmentation"]
            if not shape or entry["category_id"] not in classes:
                continue
            if isinstance(shape, list):  # polygons
                shape = masks.merge(masks.frPyObjects(shape, *labels.shape))
            elif isinstance(shape["counts"], list):  # uncompressed run lengths
                shape = masks.frPyObjects(shape, *labels.shape)
            labels[masks.decode(shape) > 0] = classes[entry["category_id"]]
        return labels

    layout = BENCHMARKS["coco_object"].layout
    folder = Path(root) / layout.labels
    jobs = (
        (folder / f"{Path(image['file_name']).stem}{layout.label_suffix}", lambda image=image: draw(image))
        for image in images
    )
    return _prepare(folder, jobs, overwrite)


def coco_stuff(maps: Path, names: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Renumber the official COCO-Stuff maps (``stuffthingmaps/val2017/*.png``) to the 171 classes that occur.

    Parameters
    ----------
    maps : Path
        Folder of the maps: values are one below the number of the list, 255 is unlabelled.
    names : Path
        The list that comes with them (``labels.txt``: "0: unlabeled", "1: person", …).
    root : Path
        ``annotations/val2017/*_labelTrainIds.png`` is written below it.
    """
    offered = {number - 1: name for number, name in numbered_names(names).items() if number > 0}
    table = lookup_table(match_names(vocab.load("coco_stuff").names, offered, str(names)), 255, 256)
    layout = BENCHMARKS["coco_stuff"].layout
    folder = Path(root) / layout.labels
    jobs = (
        (folder / f"{path.stem}{layout.label_suffix}", lambda path=path: translate(_stored(path), table, path))
        for path in sorted(Path(maps).glob("*.png"))
    )
    return _prepare(folder, jobs, overwrite)


def _stored(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise SampleError(path, f"not a readable label map ({error})") from error


def context(maps: Path, names: Path, root: Path, split: Path | None = None, overwrite: bool = False) -> Prepared:
    """Renumber PASCAL Context's official maps (``trainval/*.mat``) to Context-60, which Context-59 reads too.

    Stored values: 0 for everything beside the 59 classes, which are 1 to 59.

    Parameters
    ----------
    maps : Path
        Folder of ``.mat`` files, each with a ``LabelMap`` of numbers of the list.
    names : Path
        The list that comes with them (``labels.txt``: "1: accordion", …, 459 entries).
    root : Path
        ``SegmentationClassContext/*.png`` is written below it.
    split : Path, optional
        List of the ids to prepare; by default the layout's own below ``root`` if it is there, else all maps.
    """
    wanted = vocab.load("context60").names[1:]
    classes = {number: k + 1 for number, k in match_names(wanted, numbered_names(names), str(names)).items()}
    table = lookup_table(classes, 0, max(numbered_names(names)) + 1)
    layout = BENCHMARKS["context60"].layout
    own = Path(root) / layout.split
    split = split or (own if own.exists() else None)
    return _from_mat(maps, Path(root) / layout.labels, ".png", table, split, overwrite)


def pc459(maps: Path, names: Path, root: Path, split: Path, overwrite: bool = False) -> Prepared:
    """Renumber PASCAL Context's official maps to PC459: 0 to 458 in the order of the class list, else 65535.

    Parameters
    ----------
    maps, names, root, overwrite
        As for :func:`context`; ``annotations_detectron2/pc459_val/*.tif`` is written.
    split : Path
        List of the validation ids (one per line).
    """
    numbers = numbered_names(names)
    table = lookup_table(match_names(vocab.load("pc459").names, numbers, str(names)), 65535, max(numbers) + 1)
    return _from_mat(maps, Path(root) / BENCHMARKS["pc459"].layout.labels, ".tif", table, split, overwrite)


def _from_mat(
    maps: Path, folder: Path, suffix: str, table: np.ndarray, split: Path | None, overwrite: bool
) -> Prepared:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    def read(path: Path) -> np.ndarray:
        try:
            numbers = np.asarray(loadmat(path, variable_names=["LabelMap"])["LabelMap"])
        except KeyError:
            raise SampleError(path, "has no LabelMap") from None
        except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
            raise SampleError(path, f"not a readable .mat file ({error})") from error
        return translate(numbers.astype(np.int64), table, path)

    if split is None:
        ids = sorted(path.stem for path in Path(maps).glob("*.mat"))
    else:
        try:
            ids = Path(split).read_text(encoding="utf-8").split()
        except OSError as error:
            raise DataError(f"{split}: not a readable list of images ({error})") from error
    jobs = ((folder / f"{name}{suffix}", lambda name=name: read(Path(maps) / f"{name}.mat")) for name in ids)
    return _prepare(folder, jobs, overwrite)


def ade847(release: Path, root: Path, overwrite: bool = False) -> Prepared:
    """Renumber the colour-coded maps of the full ADE20K release to ADE847, and put the images beside them.

    A map's red and green channels hold the object's number: ``red // 10 * 256 + green``, counted from 1 in
    the list of names in the release's index. Which of them the 847 classes are is found by their names; two
    entries of the same name are the same class. Everything else becomes 65535.

    Parameters
    ----------
    release : Path
        The unpacked release: ``index_ade20k.pkl`` (or ``.mat``), and ``ADE_val_*_seg.png`` somewhere below.
    root : Path
        ``annotations_detectron2/validation/*.tif`` and ``images_detectron2/validation/*.jpg`` are written
        below it.
    """
    objects = ade_object_names(Path(release))
    numbers = {number: name for number, name in enumerate(objects, start=1)}
    classes = match_names(vocab.load("ade847").names, numbers, f"the index of {release}")
    table = lookup_table(classes, 65535, len(objects) + 1)
    layout = BENCHMARKS["ade847"].layout
    maps = sorted(Path(release).rglob("ADE_val_*_seg.png"))

    def read(path: Path) -> np.ndarray:
        image = path.with_name(path.name.replace("_seg.png", ".jpg"))
        target = Path(root) / layout.images / image.name
        if overwrite or not target.exists():
            if not image.exists():
                raise SampleError(image, f"missing, though {path.name} is there")
            with replacing(target) as partial:
                shutil.copyfile(image, partial)
        colours = np.asarray(load_picture(path).convert("RGB")).astype(np.int64)
        return translate(colours[..., 0] // 10 * 256 + colours[..., 1], table, path)

    folder = Path(root) / layout.labels
    suffix = layout.label_suffix
    jobs = ((folder / path.name.replace("_seg.png", suffix), lambda path=path: read(path)) for path in maps)
    return _prepare(folder, jobs, overwrite)
