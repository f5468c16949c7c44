"""Which benchmarks are there, which files are missing, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proxyclip.data.benchmarks import BENCHMARKS, Benchmark
from proxyclip.data.datasets import BenchmarkDataset, locate
from proxyclip.data.samples import DataError


@dataclass(frozen=True)
class BenchmarkStatus:
    """Which files of one benchmark are present.

    Attributes
    ----------
    name : str
    state : {"complete", "incomplete", "absent"}
    folder : Path or None
        Where it was found.
    images, expected : int
        Usable samples by their files, and how many a complete set has.
    missing : int
        Samples that lack a file.
    problem : str
        What is wrong, with the first file concerned; empty when complete.
    image_source, label_source : str
        Where the files come from.
    """

    name: str
    state: str
    folder: Path | None
    images: int
    expected: int
    missing: int
    problem: str
    image_source: str
    label_source: str


def benchmark_statuses(root: str | Path | None = None) -> list[BenchmarkStatus]:
    """Look through a data folder.

    Parameters
    ----------
    root : str or Path, optional
        Default: the environment variable PROXYCLIP_DATA.

    Returns
    -------
    list of BenchmarkStatus
        One per benchmark. Files are looked for, not opened.
    """
    return [_status_of(benchmark, root) for benchmark in BENCHMARKS.values()]


def _status_of(benchmark: Benchmark, root: str | Path | None) -> BenchmarkStatus:
    def row(state: str, folder: Path | None, images: int, missing: int, problem: str) -> BenchmarkStatus:
        sources = benchmark.image_source, benchmark.label_source
        return BenchmarkStatus(benchmark.name, state, folder, images, benchmark.images[0], missing, problem, *sources)

    try:
        folder = locate(benchmark, root)
    except DataError as error:
        return row("absent", None, 0, 0, str(error))
    try:
        data = BenchmarkDataset(benchmark, folder)
    except DataError as error:
        return row("incomplete", folder, 0, 0, str(error))
    missing = data.problems()
    if missing:
        first = missing[min(missing)]
        return row("incomplete", folder, len(data) - len(missing), len(missing), str(first))
    if len(data) not in benchmark.images:
        return row("incomplete", folder, len(data), 0, data.notes()[0])
    return row("complete", folder, len(data), 0, "")
