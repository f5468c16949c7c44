"""``proxyclip evaluate --chapter``: the evaluations of a chapter as jobs for any scheduler."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from proxyclip.supplement.typed_values import from_command_line

Job = TypeVar("Job")


def chapter_parameters(chapter: str, assignments: list[str]) -> tuple[str, dict[str, Any]]:
    """The letter of a chapter, given by letter or name, and its parameters with those of the command line."""
    from proxyclip.supplement.chapters.notebooks import chapter_notebooks, notebook_parameters, select

    (notebook,) = select(chapter_notebooks(), [chapter])
    parameters = notebook_parameters(notebook)
    for text in assignments:
        name, value = assignment(text)
        if name not in parameters:
            raise ValueError(f"{notebook.stem} has no parameter {name}; it has {', '.join(parameters)}")
        parameters[name] = from_command_line(value)
    return notebook.stem[0], parameters


def assignment(text: str) -> tuple[str, str]:
    """Split ``NAME=VALUE``; raises ``ValueError`` when it is not of this form."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"a parameter is given as NAME=VALUE, got {text!r}")
    return name, value


def chosen_jobs(jobs: Sequence[Job], index: int | None) -> Sequence[Job]:
    """The job with an index, or all jobs for None; raises ``ValueError`` with what is allowed."""
    if index is None:
        return jobs
    if not 0 <= index < len(jobs):
        raise ValueError(f"job must be 0 to {len(jobs) - 1}, got {index}")
    return jobs[index : index + 1]


def run_chapter_jobs(chapter: str, assignments: list[str], list_only: bool, job: int | None, timeout: float) -> None:
    """List the jobs of a chapter, or run them (or one of them) and save the counts where the chapter will look."""
    from proxyclip.supplement.chapters.jobs import chapter_jobs, refinement_of, rules_of
    from proxyclip.supplement.parameters import validate

    section, parameters = chapter_parameters(chapter, assignments)
    jobs = chapter_jobs(section, validate(section, **parameters))
    if list_only:
        for entry in jobs:
            print(f"{entry.index}\t{entry.vfm}\t{entry.dataset}")
        return
    chosen = chosen_jobs(jobs, job)
    from proxyclip.evaluation.workers import joined, local_device
    from proxyclip.supplement.experiment import Experiment

    place = local_device(parameters["device"])
    with joined(place, timeout) as workers:
        run = Experiment(section, **{**parameters, "device": str(place)})
        rules = rules_of(section, run.parameters, run.model().clip)
        for entry in chosen:
            counted = sum(run.evaluate(entry.vfm, data, run.beside(entry.vfm, rules), workers,
                                       refinement_of(section)).images
                          for _, data in run.scenes(entry.dataset))
            if workers.rank == 0:
                print(f"{entry.index}: {entry.vfm} on {entry.dataset}, {counted} images counted in "
                      f"{Path(parameters['output_dir']) / section}.progress", file=sys.stderr)
