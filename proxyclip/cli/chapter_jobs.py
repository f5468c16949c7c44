"""``proxyclip evaluate --chapter``: the evaluations of a chapter as jobs for any scheduler."""

import sys
from pathlib import Path
from typing import Any

from proxyclip.cli.options import JobOptions
from proxyclip.supplement.typed_values import from_command_line


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


def run_chapter_jobs(chapter: str, assignments: list[str], which: JobOptions) -> None:
    """List the jobs of a chapter, or run them (or one of them) and save the counts where the chapter will look."""
    from proxyclip.supplement.chapters.jobs import chapter_jobs, refinement_of, rules_of
    from proxyclip.supplement.parameters import validate

    section, parameters = chapter_parameters(chapter, assignments)
    jobs = chapter_jobs(section, validate(section, **parameters))
    if which.list_jobs:
        for entry in jobs:
            print(f"{entry.index}\t{entry.vfm}\t{entry.dataset}")
        return
    chosen = which.chosen(jobs)
    from proxyclip.evaluation.workers import joined, local_device
    from proxyclip.supplement.experiment import Experiment

    place = local_device(parameters["device"])
    with joined(place, which.timeout) as workers:
        run = Experiment(section, **{**parameters, "device": str(place)})
        rules = rules_of(section, run.parameters, run.model().clip)
        for entry in chosen:
            counted = sum(run.evaluate(entry.vfm, data, run.rules_for(entry.vfm, rules), workers,
                                       refinement_of(section)).images
                          for _, data in run.scenes(entry.dataset))
            if workers.rank == 0:
                print(f"{entry.index}: {entry.vfm} on {entry.dataset}, {counted} images counted in "
                      f"{Path(parameters['output_dir']) / section}.progress", file=sys.stderr)
