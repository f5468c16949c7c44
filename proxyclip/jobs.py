"""A grid of evaluations, (vision foundation model x data set), as a list of jobs for a scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One evaluation of a grid.

    Attributes
    ----------
    index : int
        Its place in the list; the same grid gives the same list.
    vfm : str or None
        None: the default of the profile.
    dataset : str
    output : Path
        Where its result goes.
    """

    index: int
    vfm: str | None
    dataset: str
    output: Path

    @property
    def progress(self) -> Path:
        """Folder in which its counts are saved while it runs."""
        return self.output.with_name(f"{self.output.stem}.progress")

    @property
    def state(self) -> str:
        """``done``, ``started`` or ``waiting``, by the files that are there."""
        return "done" if self.output.is_file() else "started" if self.progress.is_dir() else "waiting"


def grid(vfms: Sequence[str | None], datasets: Sequence[str], output: Path) -> list[Job]:
    """Return the jobs of a grid, the data sets of the first model first.

    Parameters
    ----------
    vfms, datasets : sequences of str
    output : Path
        A JSON file for a single job; a folder for several, which then holds one file per job.

    Raises
    ------
    ValueError
        When one output file is given for several jobs, or a combination occurs twice.
    """
    pairs = [(vfm, dataset) for vfm in vfms for dataset in datasets]
    twice = next((pair for place, pair in enumerate(pairs) if pair in pairs[:place]), None)
    if twice:
        raise ValueError(f"{' on '.join(map(str, twice))} occurs twice in the grid")
    if output.suffix == ".json":
        if len(pairs) > 1:
            raise ValueError(f"{output} is one file for {len(pairs)} jobs; give a folder as output")
        return [Job(0, *pairs[0], output)]
    return [
        Job(index, vfm, dataset, output / f"{vfm or 'default'}-{dataset.replace('/', '_')}.json")
        for index, (vfm, dataset) in enumerate(pairs)
    ]


def pick(jobs: Sequence[Job], index: int) -> Job:
    """Return a job by its index, or raise ``ValueError`` with what is allowed."""
    if not 0 <= index < len(jobs):
        raise ValueError(f"job must be 0 to {len(jobs) - 1}, got {index}")
    return jobs[index]
