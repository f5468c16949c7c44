"""The ten benchmarks as data: protocol, folder layout, coding of the labels, origin of the files.

Their values are in ``benchmarks.toml``.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from proxyclip.data import vocab
from proxyclip.data.base import Protocol
from proxyclip.models.addresses import ADDRESSES, place
from proxyclip.system.own_files import shipped


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
    remark: str = ""  #: What the published class list or conversion does that a reader would not expect.
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


def _rows() -> dict[str, Benchmark]:
    rows = shipped(Path(__file__).with_suffix(".toml"), dict[str, tuple[Benchmark, ...]])["benchmark"]
    places = {name: place(name) for name in ADDRESSES}
    return {row.name: replace(row, image_source=row.image_source.format_map(places),
                              label_source=row.label_source.format_map(places)) for row in rows}


#: The ten benchmarks by name.
BENCHMARKS: dict[str, Benchmark] = _rows()

#: Other evaluations of the same files, by name. The published ones ignore 255 on labels whose void is 65535: class 255
#: is dropped, and every prediction on void counts as wrong.
VARIANTS: dict[str, Benchmark] = {
    f"{name}@published": replace(BENCHMARKS[name], name=f"{name}@published", remark="", ignored=255, counted_void=65535)
    for name in ("ade847", "pc459")
}


def benchmark_row(name: str) -> Benchmark | None:
    """The row of ``"voc21"``, ``"voc21@1"`` or ``"ade847@published"``; None if there is none."""
    if name in VARIANTS:
        return VARIANTS[name]
    row = BENCHMARKS.get(name.partition("@")[0])
    return row if row is not None and name in (row.name, row.title) else None
