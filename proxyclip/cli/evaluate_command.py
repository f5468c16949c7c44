"""``proxyclip evaluate``: score rules on data sets, in one process or many, with progress that can be continued."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from proxyclip.cli.chapter_jobs import run_chapter_jobs
from proxyclip.cli.options import (
    FolderOptions,
    JobOptions,
    Limit,
    ModelOptions,
    SetOptions,
    VfmWeights,
    with_options,
)

if TYPE_CHECKING:
    from proxyclip.data.base import Dataset, Protocol
    from proxyclip.evaluation.result import Evaluation
    from proxyclip.evaluation.workers import Workers
    from proxyclip.rules import Rule
    from proxyclip.segment import ProxyCLIP


@dataclass(frozen=True)
class Work:
    """What every job of a grid does with its model and its set."""

    rule: Annotated[
        list[str] | None, typer.Option(help="adaptive, adaptive:1.2,3, hard:0.4, qq, vanilla, …; several in one pass.")
    ] = None
    limit: Limit = None
    pamr: Annotated[bool, typer.Option("--pamr", help="Score every rule without and with PAMR.")] = False
    on_error: Annotated[Literal["stop", "skip"], typer.Option(help="Stop, or skip and list an unusable file.")] = "stop"
    save_predictions: Annotated[
        Path | None, typer.Option(help="Also write the labels: a 16-bit PNG for each rule and image in this folder.")
    ] = None
    save_every: Annotated[float, typer.Option(help="Seconds between two saves of the progress.")] = 10.0

    def rules(self) -> list[Rule]:
        """The rules by their names; ``ValueError`` if one is none."""
        from proxyclip.rules.parsing import parsed_rules

        return parsed_rules(self.rule or ["adaptive"])


@dataclass(frozen=True)
class ProtocolChanges:
    """What differs from the protocol of a set."""

    window: Annotated[int | None, typer.Option(help="Instead of the protocol's window, pixels.")] = None
    stride: Annotated[int | None, typer.Option(help="Instead of the protocol's stride, pixels.")] = None
    short_side: Annotated[
        int | None, typer.Option(help="Instead of the protocol's short side, pixels; 0 keeps the size.")
    ] = None
    prob_threshold: Annotated[float | None, typer.Option(help="Instead of the protocol's threshold.")] = None

    def of(self, protocol: Protocol) -> Protocol:
        """The protocol with these changes."""
        values: dict[str, Any] = {**vars(self), "baseline_threshold": self.prob_threshold}
        changed = {name: value for name, value in values.items() if value is not None}
        return replace(protocol, **changed | ({"short_side": None} if self.short_side == 0 else {}))


@with_options
def evaluate(
    *,
    dataset: Annotated[list[str] | None, typer.Option(help="Set to evaluate on; several make a grid.")] = None,
    output: Annotated[Path | None, typer.Option(help="Result: a .json file, or a folder for a grid.")] = None,
    vfm: Annotated[list[str] | None, typer.Option(help="Vision foundation model; several make a grid.")] = None,
    vfm_weights: VfmWeights = None,
    work: Work,
    models: ModelOptions,
    changes: ProtocolChanges,
    own: FolderOptions,
    named: SetOptions,
    batch: Annotated[int | None, typer.Option(help="Most windows at a time; by default what suits the device.")] = None,
    which: JobOptions,
    chapter: Annotated[str | None, typer.Option(help="Instead: what a chapter evaluates, kept where it looks.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE for the chapter, as for proxyclip run.")
    ] = None,
) -> None:
    """Score rules on data sets: mIoU, mean and overall accuracy, per class and as a whole.

    Progress is saved next to the output; the same command continues after an interruption. Under torchrun the
    workers share the images: torchrun --nproc-per-node N -m proxyclip evaluate …
    """
    if chapter is not None:
        given = (work, models, changes, own, named, dataset, output, vfm, vfm_weights, batch)
        if given != (Work(), ModelOptions(), ProtocolChanges(), FolderOptions(), SetOptions(), *[None] * 5):
            raise ValueError("a chapter brings its sets, models and rules; set its parameters with -p NAME=VALUE")
        run_chapter_jobs(chapter, parameter or [], which)
        return
    if parameter:
        raise ValueError(f"-p sets a parameter of a chapter, and none is given: -p {parameter[0]}")
    if own.given:
        if dataset or named != SetOptions():
            raise ValueError("--images names the set itself; leave out --dataset, --data, --seed and --vocabulary")
        dataset = ["own"]
    if not dataset or output is None:
        raise ValueError("give --dataset (or --images, --labels and --classes) and --output, or --chapter")
    jobs = grid(vfm or [None], dataset, output)
    if which.list_jobs:
        for entry in jobs:
            print(f"{entry.index}\t{entry.vfm or 'default'}\t{entry.dataset}\t{entry.output}\t{entry.state}")
        return
    # Imported here: --help and --grid answer without loading torch.
    import torch

    from proxyclip.evaluation.workers import WorkerLost, joined, local_device
    from proxyclip.inference.labels import check_threshold
    from proxyclip.system.devices import check_device

    models = replace(models, device=local_device(models.device))
    check_device(models.device)
    chosen = which.chosen(jobs)
    work.rules()  # what is not allowed stops the command before anything is loaded
    check_threshold(changes.prob_threshold)
    try:
        with joined(models.device, which.timeout) as workers:
            for entry in chosen:
                subject: Dataset = own.open() if own.given else named.open(entry.dataset)
                torch.manual_seed(0)  # untrained weights are then the same in every worker and every run
                model = models.load(entry.vfm, vfm_weights, batch=batch)
                subject = subject.with_windows(model.window, model.stride, model.short_side)
                subject.protocol = changes.of(subject.protocol)
                _run_job(entry, model, subject, work, workers)
    except WorkerLost as error:
        print(f"proxyclip: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def _run_job(job: Job, model: ProxyCLIP, subject: Dataset, work: Work, workers: Workers) -> None:
    """Evaluate one job and write its result, unless the same result exists already."""
    from proxyclip.evaluation.evaluator import ByModel, run, under_protocol
    from proxyclip.evaluation.predictions import Saving
    from proxyclip.evaluation.progress import Progress
    from proxyclip.evaluation.result import settings_of
    from proxyclip.inference.pamr import PAMR

    first, chosen = workers.rank == 0, subject.first(work.limit)
    folder = work.save_predictions and work.save_predictions / (job.output.stem if job.of_several else "")
    rules, refine = work.rules(), PAMR() if work.pamr else None
    settings = settings_of(under_protocol(model, subject), chosen, rules, work.on_error, refine)
    record = _finished(job.output, settings)
    done = record is not None
    if record is not None and folder is not None:
        saver = Saving(ByModel(model, chosen, rules, refine), chosen, folder, settings)
        done = not saver.missing([entry["id"] for entry in record["skipped"]])
    if any(workers.gather(done)):
        if first:
            print(f"{job.output}: done already, with the same settings")
        return
    outcome = run(model, subject, rules, work.limit, refine=refine, predictions=folder, on_error=work.on_error,
                  progress=job.progress, save_every=work.save_every, show=True, workers=workers)
    if first:
        outcome.save(job.output)
        Progress(job.progress, outcome.settings).remove()
        report(job.output, outcome)


def _finished(path: Path, settings: dict[str, object]) -> dict[str, Any] | None:
    """The result in a file, if it is that of these settings, untouched and with the counts of its images."""
    from proxyclip.evaluation.result import read_counts, read_result

    try:
        record = read_result(path)
        if record["settings"] == json.loads(json.dumps(settings)):
            read_counts(path)
            return record
    except FileNotFoundError:
        pass
    except ValueError as error:
        print(f"{error}; it is measured again", file=sys.stderr)
    return None


def report(output: Path, outcome: Evaluation) -> None:
    """Print the scores of an evaluation, what was left out, and where the result is."""
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    print(outcome.frame().to_string(index=False, float_format="%.2f"))
    if skipped := outcome.tally.skipped:
        print(f"left out: {len(skipped)} of {len(outcome.tally.done)} images")
        for entry in skipped:
            print(f"  {entry.file}: {entry.reason}")
    print(f"written to {output}")


@dataclass(frozen=True)
class Job:
    """One evaluation of a grid."""

    index: int  #: Its place in the list; the same grid gives the same list.
    vfm: str | None  #: None: the default of the profile.
    dataset: str
    output: Path  #: Where its result goes.
    of_several: bool = False  #: Whether the grid has a folder, in which every job has a file.

    @property
    def progress(self) -> Path:
        """Folder in which its counts are saved while it runs."""
        return self.output.with_name(f"{self.output.stem}.progress")

    @property
    def state(self) -> str:
        """``done``, ``started`` or ``waiting``, judged by the files that exist."""
        return "done" if self.output.is_file() else "started" if self.progress.is_dir() else "waiting"


def grid(vfms: Sequence[str | None], datasets: Sequence[str], output: Path) -> list[Job]:
    """The jobs of a grid, those of the first model first; ``output`` is a JSON file for a single job, else a folder."""
    pairs = [(vfm, dataset) for vfm in vfms for dataset in datasets]
    twice = next((pair for place, pair in enumerate(pairs) if pair in pairs[:place]), None)
    if twice:
        raise ValueError(f"{' on '.join(map(str, twice))} occurs twice in the grid")
    if output.suffix.lower() == ".json":
        if len(pairs) > 1:
            raise ValueError(f"{output} is one file for {len(pairs)} jobs; give a folder as output")
        return [Job(0, *pairs[0], output)]
    return [Job(index, vfm, dataset, output / f"{vfm or 'default'}-{dataset.replace('/', '_')}.json", True)
            for index, (vfm, dataset) in enumerate(pairs)]
