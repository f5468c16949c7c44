"""Which benchmarks are present, which files are missing, and whether every file of a set can be used."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from proxyclip.data.base import Dataset
from proxyclip.data.benchmark_files import BenchmarkDataset, locate
from proxyclip.data.benchmarks import BENCHMARKS, Benchmark
from proxyclip.data.samples import DataError, SampleError


@dataclass(frozen=True)
class BenchmarkStatus:
    """Which files of one benchmark are present."""

    benchmark: Benchmark  #: Its name, how many images a complete set has, and where its files come from.
    folder: Path | None = None  #: Where it was found.
    images: int = 0  #: Samples that have both files.
    missing: int = 0  #: Samples that lack a file.
    problem: str = ""  #: The problem, with the first file concerned; empty when complete.

    @property
    def state(self) -> str:
        """``complete``, ``incomplete`` or ``absent``."""
        return "absent" if self.folder is None else "incomplete" if self.problem else "complete"


def benchmark_statuses(root: str | Path | None = None) -> list[BenchmarkStatus]:
    """Which files of every benchmark exist below ``root``, by default PROXYCLIP_DATA; none is opened."""
    found = []
    for benchmark in BENCHMARKS.values():
        folder = None
        try:
            folder = locate(benchmark, root)
            data = BenchmarkDataset(benchmark, folder)
        except DataError as error:
            found.append(BenchmarkStatus(benchmark, folder, problem=str(error)))
            continue
        problems = data.problems()
        problem = str(problems[min(problems)]) if problems else "".join(data.notes())
        found.append(BenchmarkStatus(benchmark, folder, len(data) - len(problems), len(problems), problem))
    return found


@dataclass(frozen=True)
class SetCheck:
    """What reading every file of a set has shown."""

    images: int  #: Samples that can be used.
    problems: list[SampleError]  #: Why the others cannot.
    sizes: dict[tuple[int, int], int]  #: Height and width -> number of images.
    pixels: np.ndarray  #: (classes,) int64: pixels of each class.
    left_out: int  #: Pixels that are not evaluated.
    absent: list[str]  #: Classes that occur in no label file.


def check_set(data: Dataset, show: bool = False) -> SetCheck:
    """Read every sample of a set: sizes that do not fit, values that are no class, and classes that never occur."""
    known, problems, sizes = data.problems(), [], Counter[tuple[int, int]]()
    pixels, left_out = np.zeros(len(data.vocabulary), np.int64), 0
    for index in tqdm(range(len(data)), unit="image", desc=data.name, disable=not show):
        try:
            if index in known:
                raise known[index]
            labels = data[index].labels
        except SampleError as error:
            problems.append(error)
            continue
        sizes[labels.shape] += 1
        evaluated = labels[(labels >= 0) & (labels < len(pixels))]
        pixels += np.bincount(evaluated, minlength=len(pixels))
        left_out += labels.size - evaluated.size
    absent = [name for name, count in zip(data.vocabulary.names, pixels, strict=True) if not count]
    return SetCheck(len(data) - len(problems), problems, dict(sizes), pixels, left_out, absent)
