"""The ten benchmarks as data: protocol, folder layout, coding of the labels, origin of the files."""

from dataclasses import dataclass, replace
from typing import Literal

from proxyclip.data import vocab
from proxyclip.data.base import Protocol
from proxyclip.models.weights.addresses import place


@dataclass(frozen=True)
class Layout:
    """Where images and labels are stored below the root of a set.

    The id of a sample is the path that its image and its label file share: ``images/ID + image_suffix`` and
    ``labels/ID + label_suffix``.
    """

    images: str
    image_suffix: str
    labels: str
    label_suffix: str
    #: What decides which samples belong to the set: a text file of ids, the images, or the label files.
    listed_by: Literal["split", "images", "labels"] = "images"
    split: str | None = None  #: That text file.


@dataclass(frozen=True)
class Benchmark:
    """One row of the table: everything in which the benchmarks differ."""

    name: str
    protocol: Protocol
    layout: Layout
    ignored: int  #: Value of pixels that are not evaluated.
    zero_ignored: bool  #: Label 0 is not evaluated either and the other values are one above the class id.
    images: tuple[int, ...]  #: Numbers of images a complete set has (releases of PASCAL Context differ by one).
    places: tuple[str, ...]  #: Usual folders of the set below a common data root.
    #: Where the files come from, as text for the user.
    image_source: str
    label_source: str
    #: Stored value of pixels that belong to no class and are evaluated nevertheless: any prediction there is wrong.
    counted_void: int | None = None
    #: What the published label files were made from, in the words of :func:`proxyclip.data.samples.source_of`.
    made_from: str = ""
    #: Version of its protocol card (:mod:`proxyclip.data.protocol_card`); raised with a change of what it says.
    version: int = 1

    @property
    def title(self) -> str:
        """Name of its protocol card: ``voc21@1``."""
        return self.name if "@" in self.name else f"{self.name}@{self.version}"

    @property
    def vocabulary(self) -> str:
        """Name of the class list."""
        return self.name.partition("@")[0]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(vocab.load(self.vocabulary))


_VOC = Layout("JPEGImages", ".jpg", "SegmentationClass", ".png", "split", "ImageSets/Segmentation/val.txt")
_CONTEXT = Layout(
    "JPEGImages", ".jpg", "SegmentationClassContext", ".png", "split", "ImageSets/SegmentationContext/val.txt"
)
_VOC_PLACES = ("VOCdevkit/VOC2012", "VOC2012")
_CONTEXT_PLACES = ("VOCdevkit/VOC2010", "VOC2010")
_CONTEXT_IMAGES = (5105, 5104)
_ADE_FULL = f"the full ADE20K release of {place('ADE20K full')}"
_VOC2010 = f"VOCtrainval_03-May-2010.tar (about 1.3 GB) of {place('VOC 2010')}"
_VOC2012 = f"VOCtrainval_11-May-2012.tar (about 2 GB) of {place('VOC 2012')}"
_CONTEXT_MAT = f"trainval.tar.gz of {place('PASCAL Context')}"
_COCO = f"val2017.zip (about 1 GB) of {place('COCO')}"

_ROWS = (
    Benchmark(
        "voc21", Protocol(336, 336, 112, prob_threshold=0.2, baseline_threshold=0.1), _VOC, 255, False,
        (1449,), _VOC_PLACES, _VOC2012, _VOC2012,
    ),
    Benchmark(
        "voc20", Protocol(336, 336, 112), _VOC, 255, True, (1449,), _VOC_PLACES, _VOC2012, _VOC2012
    ),
    Benchmark(
        "context60", Protocol(336, 336, 112, prob_threshold=0.15, baseline_threshold=0.05),
        _CONTEXT, 255, False, _CONTEXT_IMAGES, _CONTEXT_PLACES, _VOC2010,
        f"`proxyclip prepare context` from {_CONTEXT_MAT}",
    ),
    Benchmark(
        "context59", Protocol(336, 336, 112), _CONTEXT, 255, True,
        _CONTEXT_IMAGES, _CONTEXT_PLACES, _VOC2010, f"`proxyclip prepare context` from {_CONTEXT_MAT}",
    ),
    Benchmark(
        "coco_object", Protocol(336, 336, 112, prob_threshold=0.25, baseline_threshold=0.1),
        Layout("images/val2017", ".jpg", "annotations/val2017", "_instanceTrainIds.png"), 255, False,
        (5000,), ("coco_object", "coco_stuff164k", "coco"), _COCO,
        "`proxyclip prepare coco-object` from stuffthingmaps_trainval2017.zip (about 660 MB) of "
        + place("COCO-Stuff"),
        made_from="stuffthingmaps, unlabelled pixels background", version=2,
    ),
    Benchmark(
        "coco_stuff", Protocol(336, 336, 112),
        Layout("images/val2017", ".jpg", "annotations/val2017", "_labelTrainIds.png"), 255, False,
        (5000,), ("coco_stuff164k", "coco_stuff", "coco"), _COCO,
        f"stuffthingmaps_trainval2017.zip (about 660 MB) of {place('COCO-Stuff')}, then "
        "`proxyclip prepare coco-stuff`",
    ),
    Benchmark(
        "cityscapes", Protocol(448, 224, 112),
        Layout("leftImg8bit/val", "_leftImg8bit.png", "gtFine/val", "_gtFine_labelTrainIds.png"),
        255, False, (500,), (),
        f"leftImg8bit_trainvaltest.zip (about 11 GB) of {place('Cityscapes')}",
        "gtFine_trainvaltest.zip (about 240 MB) of the same place, then `proxyclip prepare cityscapes`",
    ),
    Benchmark(
        "ade150", Protocol(448, 336, 112),
        Layout("images/validation", ".jpg", "annotations/validation", ".png"), 255, True,
        (2000,), ("ade/ADEChallengeData2016", "ADEChallengeData2016", "ade"),
        f"ADEChallengeData2016.zip (about 920 MB) of {place('ADE20K')}", "the same archive",
    ),
    Benchmark(
        "ade847", Protocol(448, 336, 112),
        Layout("images_detectron2/validation", ".jpg", "annotations_detectron2/validation", ".tif"),
        65535, False, (2000,), ("ADE20K_2021_17_01", "ade20k_full", "ade"),
        f"`proxyclip prepare ade847` from {_ADE_FULL}",
        f"`proxyclip prepare ade847` from {_ADE_FULL}",
        made_from="the release, reduced to a short side of 512", version=2,
    ),
    Benchmark(
        "pc459", Protocol(448, 336, 112),
        Layout("JPEGImages", ".jpg", "annotations_detectron2/pc459_val", ".tif", "labels"), 65535, False,
        _CONTEXT_IMAGES, _CONTEXT_PLACES, _VOC2010, f"`proxyclip prepare pc459` from {_CONTEXT_MAT}",
    ),
)  # fmt: skip

#: The ten benchmarks by name.
BENCHMARKS: dict[str, Benchmark] = {row.name: row for row in _ROWS}


#: Other evaluations of the same files, by name. The published ones ignore 255 on labels whose void is 65535: class 255
#: is dropped, and every prediction on void counts as wrong.
VARIANTS: dict[str, Benchmark] = {
    f"{name}@published": replace(BENCHMARKS[name], name=f"{name}@published", ignored=255, counted_void=65535)
    for name in ("ade847", "pc459")
}


def benchmark_row(name: str) -> Benchmark | None:
    """The row of ``"voc21"``, ``"voc21@1"`` or ``"ade847@published"``; None if there is none."""
    if name in VARIANTS:
        return VARIANTS[name]
    row = BENCHMARKS.get(name.partition("@")[0])
    return row if row is not None and name in (row.name, row.title) else None
