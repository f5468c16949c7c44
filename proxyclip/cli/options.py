"""Options that several commands share, each written once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:  # the commands load torch when they run: --help does not need it
    from proxyclip.data.base import Dataset
    from proxyclip.data.folders import FolderDataset
    from proxyclip.segment import ProxyCLIP
    from proxyclip.text import Vocabulary

Rule = Annotated[str, typer.Option(help="What CLIP attends to: adaptive, hard:0.4, qq, maskclip, …")]
Vfm = Annotated[str | None, typer.Option(help="Vision foundation model.")]
VfmWeights = Annotated[str | None, typer.Option(help='A file, or "random".')]
ProbThreshold = Annotated[float | None, typer.Option(help="Below this probability a pixel belongs to the first class.")]
MaxPixels = Annotated[
    int | None, typer.Option(help="Most pixels of a photo. [default: what half of the free memory can label]")
]
DataFolder = Annotated[Path | None, typer.Option(help="Folder of the set, or of several. [default: $PROXYCLIP_DATA]")]
Limit = Annotated[int | None, typer.Option(help="Only the first images.")]
Seed = Annotated[int | None, typer.Option(help="Seed of a generated set (tiny/…).")]
ClassList = Annotated[Path | None, typer.Option(help='Class list instead: a class per line, "sky; cloud".')]

Item = TypeVar("Item")


@dataclass(frozen=True)
class ModelOptions:
    """Which models run, and where."""

    profile: Annotated[
        str | None, typer.Option(help='"tiny" (shipped, offline) or "paper" (full-size models). [default: paper where '
                                      'a full-size model or its weights are named, else tiny]')
    ] = None
    clip: Annotated[str | None, typer.Option(help="open_clip architecture.")] = None
    clip_weights: Annotated[str | None, typer.Option(help='A file, a published tag, or "random".')] = None
    device: Annotated[str, typer.Option(help='Where the models run, such as "cpu", "cuda" or "mps".')] = "cpu"
    dtype: Annotated[
        str, typer.Option(help='Precision of the networks: "float32", "float16", "bfloat16", or "auto": float16 on '
                               'CUDA, bfloat16 on a CPU that multiplies it.')
    ] = "float32"

    def load(self, vfm: str | None, vfm_weights: str | None, **options: Any) -> ProxyCLIP:
        """The model of these options (:func:`proxyclip.load`)."""
        import proxyclip

        return proxyclip.load(self.profile, clip=self.clip, clip_weights=self.clip_weights, vfm=vfm or "default",
                              vfm_weights=vfm_weights, device=self.device, dtype=self.dtype, **options)


@dataclass(frozen=True)
class WindowOptions:
    """The sliding windows of one photo."""

    window: Annotated[int | None, typer.Option(help="Side of the sliding window, pixels.")] = None
    stride: Annotated[int | None, typer.Option(help="Step of the sliding window, pixels.")] = None
    short_side: Annotated[
        int | None, typer.Option(help="Resize the short side first (default: 336, tiny: 128); 0 keeps the size.")
    ] = None

    def sizes(self) -> dict[str, Any]:
        """As :func:`proxyclip.load` takes them."""
        side = {None: "default", 0: None}.get(self.short_side, self.short_side)
        return {"window": self.window, "stride": self.stride, "short_side": side}


@dataclass(frozen=True)
class ClassOptions:
    """The user's words."""

    classes: Annotated[
        str | None, typer.Option(help='Classes by commas, several words of one by semicolons: "sky; cloud, horse".')
    ] = None
    classes_file: Annotated[Path | None, typer.Option(help="A class per line instead, queries separated by ;")] = None

    def vocabulary(self) -> Vocabulary:
        """Read them; raises ``ValueError`` where there are none, or where both options are given."""
        from proxyclip.data import vocab
        from proxyclip.text import Vocabulary

        if self.classes is not None and self.classes_file is not None:
            raise ValueError("--classes and --classes-file exclude each other; give one")
        if self.classes_file is not None:
            return vocab.read(self.classes_file)
        return Vocabulary.parse([entry for entry in (self.classes or "").split(",") if entry.strip()])


@dataclass(frozen=True)
class SetOptions:
    """Where a set that has a name is found, and what differs from its own scenes and words."""

    data: DataFolder = None
    seed: Seed = None
    vocabulary: ClassList = None

    def open(self, name: str) -> Dataset:
        """Open the set with a name."""
        from proxyclip.data.datasets import dataset

        return dataset(name, self.data, self.vocabulary, seed=self.seed)


@dataclass(frozen=True)
class FolderOptions:
    """A set of the user's own."""

    images: Annotated[Path | None, typer.Option(help="Your own set: folder of the images, beside --labels.")] = None
    labels: Annotated[
        Path | None, typer.Option(help="Folder of its label files (PNG, TIFF, NumPy), named as the images are.")
    ] = None
    classes: Annotated[
        Path | None, typer.Option(help='Its class list: a class a line, in the order of the values, "sky; cloud".')
    ] = None
    ignore: Annotated[int, typer.Option(help="Value in its label files that is not evaluated.")] = 255
    zero_ignored: Annotated[
        bool, typer.Option("--zero-ignored", help="0 is not evaluated either; 1 is the first class of the list.")
    ] = False
    background: Annotated[
        str | None, typer.Option(help='0 is everything else, for which these words stand: "sky; wall".')
    ] = None

    @property
    def given(self) -> bool:
        """Whether the user names a set of their own."""
        return self != FolderOptions()

    def open(self) -> FolderDataset:
        """Open it; raises ``ValueError`` where a part is missing."""
        from proxyclip.data.folders import folder_dataset

        if self.images is None or self.labels is None or self.classes is None:
            missing = next(name for name in ("images", "labels", "classes") if getattr(self, name) is None)
            raise ValueError(f"a set of your own needs --images, --labels and --classes; --{missing} is missing")
        return folder_dataset(self.images, self.labels, self.classes, ignored=self.ignore,
                              zero_ignored=self.zero_ignored, background=self.background)


@dataclass(frozen=True)
class JobOptions:
    """Which jobs of a grid are done, and how long one waits for the others."""

    timeout: Annotated[float, typer.Option(help="Seconds without an image after which a worker is lost.")] = 1800.0
    list_jobs: Annotated[bool, typer.Option("--grid", help="Print the jobs of the grid and stop.")] = False
    job: Annotated[int | None, typer.Option(help="Run this job of the grid only.")] = None

    def chosen(self, jobs: Sequence[Item]) -> Sequence[Item]:
        """The one job, or all where none is named; raises ``ValueError`` with what is allowed."""
        if self.job is None:
            return jobs
        if not 0 <= self.job < len(jobs):
            raise ValueError(f"job must be 0 to {len(jobs) - 1}, got {self.job}")
        return jobs[self.job : self.job + 1]


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Show the fields of a command's dataclass parameters as options of their own, which typer cannot do itself."""
    groups: dict[str, type] = {}
    parameters = []
    hints = get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            kinds = get_type_hints(kind, include_extras=True)
            parameters += [inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default,
                                             annotation=kinds[field.name]) for field in fields(kind)]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind))

    @functools.wraps(command)
    def assembled(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    assembled.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    assembled.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return assembled
