"""One pass over a set, many rules at once: mIoU that does not depend on order, sharding or interruptions."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from torch import Tensor
from tqdm import tqdm

from proxyclip.data.base import Dataset, Sample
from proxyclip.data.datasets import dataset
from proxyclip.data.samples import SampleError
from proxyclip.evaluation.metrics import Confusion
from proxyclip.evaluation.progress import Progress, Skipped, Tally, merged
from proxyclip.evaluation.result import Evaluation, rows_of, settings_of
from proxyclip.evaluation.workers import Workers
from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.pamr import PAMR, as_picture, refined_labels
from proxyclip.rules import Adaptive, Rule
from proxyclip.rules.parsing import parse_rule
from proxyclip.segment import ProxyCLIP
from proxyclip.text import TextEmbeddings

OnError = Literal["stop", "skip"]


def run(
    model: ProxyCLIP,
    data: Dataset | str,
    rules: Sequence[Rule | str] | None = None,
    limit: int | None = None,
    *,
    refine: PAMR | None = None,
    on_error: OnError = "stop",
    progress: str | Path | None = None,
    shared: bool = False,
    save_every: float = 10.0,
    show: bool = False,
    workers: Workers | None = None,
) -> Evaluation:
    """Score rules on a set and return everything that was counted.

    Parameters
    ----------
    model, data, rules, limit
        As for :func:`proxyclip.evaluate`. Windows, resizing and thresholds are those of the set's protocol.
    refine : PAMR, optional
        Score every rule without and with this refinement of its masks.
    on_error : {"stop", "skip"}
        What to do about an unusable sample: raise, or leave it out and list it in the result.
    progress : path, optional
        Folder in which counts are saved during the run; the same call continues from there, with any number of
        processes. A call with other settings does not touch them and starts from the beginning.
    shared : bool
        Whether other evaluations also keep their counts in that folder.
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
    start = time.perf_counter()
    workers = workers or Workers()
    data = dataset(data) if isinstance(data, str) else data
    data = data.with_windows(model.window, model.stride, model.short_side).first(limit)
    rules = [parse_rule(rule) if isinstance(rule, str) else rule for rule in (rules or [Adaptive()])]
    model = under_protocol(model, data)
    settings = settings_of(model, data, rules, on_error, refine)
    first, *others = workers.gather(settings)
    if any(other != first for other in others):
        raise ValueError("the workers differ in model, data or options; give each the same files")
    saved = None if progress is None else Progress(Path(progress), settings, shared)
    total = _count(model, data, rules, refine, on_error, saved, save_every, show, workers)
    total.skipped.sort(key=lambda entry: entry.id)
    seconds = time.perf_counter() - start
    return Evaluation(
        rows_of(rules, refine), list(data.vocabulary.names), total, settings, data.notes(), seconds
    )


def _count(
    model: ProxyCLIP,
    data: Dataset,
    rules: Sequence[Rule],
    refine: PAMR | None,
    on_error: OnError,
    saved: Progress | None,
    save_every: float,
    show: bool,
    workers: Workers,
) -> Tally:
    """Count the samples, shared with the other workers and added to the saved counts."""
    shape = (len(rows_of(rules, refine)), len(data.vocabulary), data.counts_void)
    parts, finished = _saved_parts(saved, shape, workers, show)
    tally = Tally.empty(*shape)
    unusable = data.problems()
    if unusable and on_error == "stop":  # before hours are spent on the other samples
        raise unusable[min(unusable)]
    remaining = [index for index in range(len(data)) if index not in finished]
    bar = tqdm(
        total=len(data), initial=len(finished), unit="image", desc=data.name, file=sys.stderr,
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
                embeddings = model.embed(
                    np.array(sample.image), rules, lambda features: tally.geometry.update(features, rules)
                )
                of_image = [Confusion(shape[1], void=shape[2]) for _ in range(shape[0])]
                predictions = _predictions(embeddings, text, thresholds, sample, refine)
                for confusion, labels in zip(of_image, predictions, strict=True):
                    confusion.update(labels, sample.labels)
                for confusion, one in zip(tally.confusions, of_image, strict=True):
                    confusion.merge(one)
                tally.images.update(index, of_image)
            tally.done.add(index)
            workers.beat()
            bar.update(min(workers.size, len(data) - bar.n))  # the other processes are about as far
            if saved is not None and time.monotonic() - last_save >= save_every:
                saved.save(tally)
                last_save = time.monotonic()
    finally:
        bar.close()
        if saved is not None and tally.done:
            saved.save(tally)
    workers.wait()
    everyone = workers.exchange(merged([*parts, tally], *shape).to_bytes())
    return merged((Tally.read(io.BytesIO(part), *shape) for part in everyone), *shape)


def _predictions(
    embeddings: Sequence[DenseEmbedding], text: TextEmbeddings, thresholds: Sequence[float | None], sample: Sample,
    refine: PAMR | None,
) -> Iterator[Tensor]:
    """Labels under each rule; then, where masks are refined, under each rule again with the refinement."""
    for embedding, threshold in zip(embeddings, thresholds, strict=True):
        yield labels_from_embedding(embedding, text, threshold)
    if refine is not None:
        picture = as_picture(np.array(sample.image), embeddings[0].windows.device)
        affinities = refine.affinities(picture)  # they depend on the image only
        for embedding, threshold in zip(embeddings, thresholds, strict=True):
            yield refined_labels(embedding, text, picture, refine, threshold, affinities)


def under_protocol(model: ProxyCLIP, data: Dataset) -> ProxyCLIP:
    """Return the model with the windows and the resizing of a set; it shares all weights with the one given."""
    protocol, vfm = data.protocol, model.vfm
    if vfm is not None and vfm.spec.input_size == "crop":
        vfm = copy(vfm)  # the modules inside are shared
        vfm.input_size = protocol.window
    return replace(model, vfm=vfm, window=protocol.window, stride=protocol.stride, short_side=protocol.short_side)


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
    saved: Progress | None, shape: tuple[int, int, bool], workers: Workers, show: bool
) -> tuple[list[Tally], set[int]]:
    """Return the saved tallies that this process adds, and the samples that are counted in those of all processes.

    Processes may see the same files or each its own; a file belongs to the first process that sees it.
    """
    found: dict[str, Tally] = {}
    if saved is not None:
        if workers.rank == 0:
            saved.lock()
            change = saved.changes()
            if change and show:
                print(change, file=sys.stderr)
        found = saved.load(*shape)
        if found and show and workers.rank == 0:
            done = sum(len(tally.done) for tally in found.values())
            print(f"continuing: {done} images are counted already in {saved.folder}", file=sys.stderr)
    seen = workers.gather({name: sorted(tally.done) for name, tally in found.items()})
    of_others = set().union(*seen[: workers.rank])
    finished = {index for of_one in seen for done in of_one.values() for index in done}
    return [tally for name, tally in found.items() if name not in of_others], finished


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
        As for :func:`proxyclip.evaluation.evaluator.run`; ``refine=proxyclip.PAMR()`` gives every rule a second row.

    Returns
    -------
    pandas.DataFrame
        One row per rule: rule, miou, macc, aacc (per cent), images; ``attrs`` as for
        :meth:`proxyclip.evaluation.result.Evaluation.frame`.

    Examples
    --------
    >>> import proxyclip as pc
    >>> frame = pc.evaluate(pc.load(vfm="tiny_sam"), "tiny/voc20", rules=["adaptive", "qq"], limit=2)
    >>> frame[["rule", "images"]].values.tolist()
    [['adaptive:1.2,3', 2], ['qq', 2]]
    >>> scores = frame.set_index("rule")["miou"]  # per cent
    >>> bool(scores["adaptive:1.2,3"] > scores["qq"])
    True
    """
    return run(model, dataset, rules, limit, **options).frame()
