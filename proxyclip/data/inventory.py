"""Which benchmarks are present, which files are missing, and where they come from."""

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
    benchmark : Benchmark
        Its name, how many images a complete set has, and where its files come from.
    folder : Path or None
        Where it was found.
    images : int
        Samples that have both files.
    missing : int
        Samples that lack a file.
    problem : str
        The problem, with the first file concerned; empty when complete.
    """

    benchmark: Benchmark
    folder: Path | None = None
    images: int = 0
    missing: int = 0
    problem: str = ""

    @property
    def state(self) -> str:
        """``complete``, ``incomplete`` or ``absent``."""
        return "absent" if self.folder is None else "incomplete" if self.problem else "complete"


def benchmark_statuses(root: str | Path | None = None) -> list[BenchmarkStatus]:
    """Look through a data folder.

    Parameters
    ----------
    root : str or Path, optional
        Default: the environment variable PROXYCLIP_DATA.

    Returns
    -------
    list of BenchmarkStatus
        One per benchmark. The function checks that files exist and does not open them.
    """
    return [_status_of(benchmark, root) for benchmark in BENCHMARKS.values()]


def _status_of(benchmark: Benchmark, root: str | Path | None) -> BenchmarkStatus:
    folder = None
    try:
        folder = locate(benchmark, root)
        data = BenchmarkDataset(benchmark, folder)
    except DataError as error:
        return BenchmarkStatus(benchmark, folder, problem=str(error))
    problems = data.problems()
    problem = str(problems[min(problems)]) if problems else "".join(data.notes())
    return BenchmarkStatus(benchmark, folder, len(data) - len(problems), len(problems), problem)
