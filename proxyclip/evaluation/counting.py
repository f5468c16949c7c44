"""Count the labels that a method gives to the images of a set: in one process or many, resumable, image by image."""

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor
from tqdm import tqdm

from proxyclip.data.base import Dataset, Sample
from proxyclip.data.samples import SampleError
from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.metrics import pairs_of
from proxyclip.evaluation.progress import ImageTally, Part, Progress, Skipped, Tally, merged
from proxyclip.evaluation.workers import Workers
from proxyclip.system.processes import terminated_in_order

OnError = Literal["stop", "skip"]


@dataclass(frozen=True)
class Options:
    """How a set is gone through; nothing of it changes a count, except for ``on_error``."""

    on_error: OnError = "stop"  #: What to do about an unusable sample: raise, or leave it out and list it.
    #: Folder in which counts are saved during the run; the same call continues from there, with any number of
    #: processes. A call with other settings does not touch them and starts from the beginning.
    progress: str | Path | None = None
    shared: bool = False  #: Whether other evaluations also keep their counts in that folder.
    save_every: float = 10.0  #: Seconds between two saves of a process.
    show: bool = False  #: Whether to show progress on stderr: images per second and time left.
    #: The processes that share the work; see :func:`proxyclip.evaluation.workers.joined`.
    workers: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        if self.on_error not in ("stop", "skip"):
            raise ValueError(f'on_error must be "stop" or "skip", got {self.on_error!r}')


class Method(Protocol):
    """What labels the images of a set, in one way or several."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the ways, each of which becomes a row of the result."""

    def prepare(self) -> None:
        """Do what takes long and every image needs; called if an image is left to label."""

    def label(self, index: int, sample: Sample, geometry: Geometry) -> Iterator[np.ndarray | Tensor]:
        """Yield the labels of an image, (H, W) integer, for each name; and count what masks leave in ``geometry``."""


def count(method: Method, data: Dataset, settings: dict[str, Any], options: Options) -> Tally:
    """Count the samples, shared with the other workers and added to the saved counts; every worker gets the total.

    Whatever stops this function (an error, Ctrl-C, SIGTERM), a whole number of images is counted and saved.
    ``settings`` holds everything that changes a count, as JSON values.
    """
    workers = options.workers
    first, *others = workers.gather(settings)
    if any(other != first for other in others):
        raise ValueError("the workers differ in model, data or options; give each the same files")
    saved = None if options.progress is None else Progress(Path(options.progress), settings, options.shared)
    shape = (len(method.names), len(data.vocabulary), data.counts_void)
    with ExitStack() as stack:
        if saved is not None and workers.rank == 0:
            stack.enter_context(saved.locked())
        parts, finished = _saved_parts(saved, shape, options)
        part = Part(*shape)
        with terminated_in_order():
            _count_images(method, data, finished, part, saved, options)
        workers.wait()
        return merged(workers.gather(merged([*parts, part.tally()], *shape)), *shape)


def _count_images(
    method: Method, data: Dataset, finished: set[int], part: Part, saved: Progress | None, options: Options
) -> None:
    """Add this worker's share of the images that are not finished, saving what is counted now and then."""
    unusable = data.problems()
    if unusable and options.on_error == "stop":  # before hours are spent on the other samples
        raise unusable[min(unusable)]
    remaining = [index for index in range(len(data)) if index not in finished]
    if remaining:
        method.prepare()
    workers = options.workers
    bar = tqdm(total=len(data), initial=len(finished), unit="image", desc=data.name, file=sys.stderr,
               disable=not options.show or workers.rank > 0, smoothing=0.05, mininterval=1.0)
    last_save = time.monotonic()
    try:
        for index, sample in _load_ahead(data, workers.share(remaining), unusable):
            if isinstance(sample, SampleError) and options.on_error == "stop":
                raise sample
            part.add(_counted(method, data, index, sample))
            workers.beat()
            bar.update(min(workers.size, len(data) - bar.n))  # the other processes are about as far
            if saved is not None and time.monotonic() - last_save >= options.save_every:
                saved.save(part.tally())
                last_save = time.monotonic()
    finally:
        if saved is not None and part.tally().done:
            saved.save(part.tally())
        bar.close()


def _counted(method: Method, data: Dataset, index: int, sample: Sample | SampleError) -> ImageTally:
    """Label one image and count its pixels."""
    if isinstance(sample, SampleError):
        return ImageTally(index, skipped=Skipped(data.sample_id(index), str(sample.path), sample.reason))
    classes, geometry = len(data.vocabulary), Geometry()
    pairs = [pairs_of(labels, sample.labels, classes, classes + data.counts_void)
             for labels in method.label(index, sample, geometry)]
    return ImageTally(index, pairs, geometry)


def _load_ahead(
    data: Dataset, indices: Sequence[int], unusable: dict[int, SampleError]
) -> Iterator[tuple[int, Sample | SampleError]]:
    """Yield samples or their errors in order; the next two are read in the background."""

    def load(index: int) -> Sample | SampleError:
        try:
            return unusable[index] if index in unusable else data[index]
        except SampleError as error:
            return error

    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = [reader.submit(load, index) for index in indices[:2]]
        for position, index in enumerate(indices):
            sample = ahead.pop(0).result()
            if position + 2 < len(indices):
                ahead.append(reader.submit(load, indices[position + 2]))
            yield index, sample


def _saved_parts(
    saved: Progress | None, shape: tuple[int, int, bool], options: Options
) -> tuple[list[Tally], set[int]]:
    """The saved tallies that this process adds, and the samples that are counted in those of all processes.

    Processes may see the same files or each its own; a file belongs to the first process that sees it.
    """
    workers, found = options.workers, dict[str, Tally]()
    if saved is not None:
        change = saved.changes() if workers.rank == 0 else None
        if change and options.show:
            print(change, file=sys.stderr)
        found = saved.load(*shape)
        if found and options.show and workers.rank == 0:
            done = sum(len(tally.done) for tally in found.values())
            print(f"continuing: {done} images are counted already in {saved.folder}", file=sys.stderr)
    seen = workers.gather({name: sorted(tally.done) for name, tally in found.items()})
    of_others = set().union(*seen[: workers.rank])
    finished = {index for of_one in seen for done in of_one.values() for index in done}
    return [tally for name, tally in found.items() if name not in of_others], finished
