"""One pass over a set, many rules at once: mIoU that does not depend on order, sharding or interruptions."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from proxyclip.data.base import Dataset, Sample
from proxyclip.data.datasets import dataset
from proxyclip.data.samples import SampleError
from proxyclip.evaluation.progress import Progress, Skipped, Tally, merged
from proxyclip.evaluation.result import Evaluation, settings_of
from proxyclip.evaluation.workers import Workers
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.rules import Adaptive, Rule
from proxyclip.rules.parsing import parse_rule
from proxyclip.segment import ProxyCLIP

OnError = Literal["stop", "skip"]


def run(
    model: ProxyCLIP,
    data: Dataset | str,
    rules: Sequence[Rule | str] | None = None,
    limit: int | None = None,
    *,
    on_error: OnError = "stop",
    progress: str | Path | None = None,
    save_every: float = 10.0,
    show: bool = False,
    workers: Workers | None = None,
) -> Evaluation:
    """Score rules on a set and return everything that was counted.

    Parameters
    ----------
    model, data, rules, limit
        As for :func:`proxyclip.evaluation.evaluator`. Windows, resizing and thresholds are those of the set's protocol.
    on_error : {"stop", "skip"}
        What to do about an unusable sample: raise, or leave it out and list it in the result.
    progress : path, optional
        Folder in which counts are saved as they come; the same call continues from there, with any number of
        processes. A call with other settings leaves them alone and starts anew.
    save_every : float
        Seconds between two saves of a process.
    show : bool
        Whether to show progress on stderr: images per second and time left.
    workers : Workers, optional
        The processes that share the work; see :func:`proxyclip.evaluation.workers.joined`.

    Returns
    -------
    Evaluation
        The same in every process.

    Raises
    ------
    SampleError
        Under ``on_error="stop"``, when a sample is unusable; what was counted before is saved.
    ValueError
        When an argument is not allowed.
    WorkerLost
        When another process has stopped.
    """
    if on_error not in ("stop", "skip"):
        raise ValueError(f'on_error must be "stop" or "skip", got {on_error!r}')
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit must be a positive number of images, got {limit!r}")
    start = time.perf_counter()
    workers = workers or Workers()
    data = dataset(data) if isinstance(data, str) else data
    rules = [parse_rule(rule) if isinstance(rule, str) else rule for rule in (rules or [Adaptive()])]
    count = len(data) if limit is None else min(limit, len(data))
    with under_protocol(model, data) as model:
        settings = settings_of(model, data, rules, count, on_error)
        if any(other != settings for other in workers.gather(settings)):
            raise ValueError("the workers differ in model, data or options; give each the same files")
        saved = None if progress is None else Progress(Path(progress), settings)
        total = _count(model, data, rules, count, on_error, saved, save_every, show, workers)
    total.skipped.sort(key=lambda entry: entry.id)
    seconds = time.perf_counter() - start
    return Evaluation(
        [rule.name for rule in rules], list(data.vocabulary.names), total, settings, data.notes(), seconds
    )


def _count(
    model: ProxyCLIP,
    data: Dataset,
    rules: Sequence[Rule],
    count: int,
    on_error: OnError,
    saved: Progress | None,
    save_every: float,
    show: bool,
    workers: Workers,
) -> Tally:
    """Count the first ``count`` samples, together with the other workers and with what is saved already."""
    shape = (len(rules), len(data.vocabulary))
    parts = _claim(saved, shape, workers, show)
    finished = set().union(*workers.gather(set().union(*(part.done for part in parts))))
    tally = Tally.empty(*shape)
    unusable = _problems(data, range(count), on_error)
    remaining = [index for index in range(count) if index not in finished]
    bar = tqdm(
        total=count, initial=len(finished), unit="image", desc=data.name, file=sys.stderr,
        disable=not show or workers.rank > 0, smoothing=0.05, mininterval=1.0,
    )  # fmt: skip
    text = model.encode_classes(data.vocabulary) if remaining else None  # 847 classes take minutes on a CPU
    thresholds = [data.protocol.threshold(rule.name) for rule in rules]
    last_save = time.monotonic()
    try:
        for index, sample in _load_ahead(data, workers.share(remaining), unusable):
            if isinstance(sample, SampleError):
                if on_error == "stop":
                    raise sample
                tally.skipped.append(Skipped(data.sample_id(index), str(sample.path), sample.reason))
            else:
                embeddings = model.embed(np.array(sample.image), rules)
                for embedding, confusion, threshold in zip(
                    embeddings, tally.confusions, thresholds, strict=True
                ):
                    confusion.update(labels_from_embedding(embedding, text, threshold), sample.labels)
            tally.done.add(index)
            workers.beat()
            bar.update(min(workers.size, count - bar.n))  # the others are about as far
            if saved is not None and time.monotonic() - last_save >= save_every:
                saved.save(tally)
                last_save = time.monotonic()
    finally:
        bar.close()
        if saved is not None and tally.done:
            saved.save(tally)
    workers.wait()
    return _add_up(merged([*parts, tally], *shape), workers)


@contextmanager
def under_protocol(model: ProxyCLIP, data: Dataset) -> Iterator[ProxyCLIP]:
    """Give the model with the windows and the resizing of a set, sharing all weights."""
    protocol, vfm = data.protocol, model.vfm
    own_size = None if vfm is None else vfm.input_size
    if vfm is not None and vfm.spec.input_size == "crop":
        vfm.input_size = protocol.window
    try:
        yield replace(model, window=protocol.window, stride=protocol.stride, short_side=protocol.short_side)
    finally:
        if vfm is not None:
            vfm.input_size = own_size


def _problems(data: Dataset, indices: range, on_error: OnError) -> dict[int, SampleError]:
    """Return what is missing; under "stop" raise the first before hours are spent on the others."""
    found = {index: error for index, error in data.problems().items() if index in indices}
    if found and on_error == "stop":
        raise found[min(found)]
    return found


def _load_ahead(
    data: Dataset, indices: Sequence[int], unusable: dict[int, SampleError]
) -> Iterator[tuple[int, Sample | SampleError]]:
    """Yield samples or their errors in order, reading the next two while one is worked on."""

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


def _claim(saved: Progress | None, shape: tuple[int, int], workers: Workers, show: bool) -> list[Tally]:
    """Return the saved tallies that this process adds: each belongs to the first process that can read it."""
    if saved is None:
        return []
    if workers.rank == 0:
        saved.lock()
        change = saved.changes()
        if change and show:
            print(change, file=sys.stderr)
    found = saved.load(*shape)
    owner = {
        name: rank for rank, names in reversed(list(enumerate(workers.gather(list(found))))) for name in names
    }
    mine = [tally for name, tally in found.items() if owner[name] == workers.rank]
    if found and show and workers.rank == 0:
        done = sum(len(tally.done) for tally in found.values())
        print(f"continuing: {done} images are counted already in {saved.folder}", file=sys.stderr)
    return mine


def _add_up(tally: Tally, workers: Workers) -> Tally:
    """Return the sum of all processes' tallies."""
    for confusion in tally.confusions:
        confusion.counts = workers.add_up(confusion.counts)
    everyone = workers.gather((tally.done, tally.skipped))
    skipped = [entry for _, entries in everyone for entry in entries]
    return Tally(tally.confusions, set().union(*(done for done, _ in everyone)), skipped)


def evaluate(
    model: ProxyCLIP,
    dataset: Dataset | str,
    rules: Sequence[Rule | str] | None = None,
    limit: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Score rules on a set, all in one pass.

    Parameters
    ----------
    model : ProxyCLIP
    dataset : Dataset or str
        A set, or the name of one.
    rules : sequence of Rule or str, optional
        ``[Adaptive()]`` by default. The backbones run once per window, whatever the number of rules.
    limit : int, optional
        Only the first ``limit`` images.
    **options
        As for :func:`proxyclip.evaluation.evaluator.run`.

    Returns
    -------
    pandas.DataFrame
        One row per rule: rule, miou, macc, aacc (per cent), images; ``attrs["skipped"]`` lists what was
        left out.
    """

    return run(model, dataset, rules, limit, **options).frame()
