"""One pass over a set, many rules at once: mIoU that does not depend on order, sharding or interruptions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from proxyclip.data.base import Dataset, Sample
from proxyclip.data.datasets import dataset
from proxyclip.evaluation.counting import Method, Options, count
from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.predictions import Saving
from proxyclip.evaluation.result import Evaluation, rows_of, settings_of
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.pamr import PAMR, as_picture, refined_labels
from proxyclip.rules import Adaptive, Rule
from proxyclip.rules.parsing import parsed_rules
from proxyclip.segment import ProxyCLIP


def run(
    model: ProxyCLIP, data: Dataset | str, rules: Sequence[Rule | str] | None = None, limit: int | None = None, *,
    refine: PAMR | None = None, predictions: str | Path | None = None, **options: Any,
) -> Evaluation:
    """Score rules on a set and return everything that was counted.

    Parameters
    ----------
    model, data, rules, limit
        As for :func:`proxyclip.evaluate`. Windows, resizing and thresholds are those of the set's protocol.
    refine : PAMR, optional
        Score every rule without and with this refinement of its masks.
    predictions : path, optional
        Also write the labels of every image there (:class:`proxyclip.evaluation.predictions.Saving`).
    **options
        Of :class:`proxyclip.evaluation.counting.Options`.

    Returns
    -------
    Evaluation
        The same in every process.

    Raises
    ------
    SampleError
        Under ``on_error="stop"``, when a sample is unusable; what was counted before is saved.
    ValueError
        When an argument is not allowed, or a model's output is not finite.
    WorkerLost
        When another process has stopped.
    """
    chosen = Options(**options)
    start = time.perf_counter()
    data = dataset(data) if isinstance(data, str) else data
    data = data.with_windows(model.window, model.stride, model.short_side).first(limit)
    read = parsed_rules(rules or [Adaptive()])
    model = under_protocol(model, data)
    settings = settings_of(model, data, read, chosen.on_error, refine)
    method: Method = ByModel(model, data, read, refine)
    if predictions is None:
        total = count(method, data, settings, chosen)
    else:
        saver = Saving(method, data, predictions, settings)
        total = count(saver, data, settings, chosen)
        saver.complete([entry.id for entry in total.skipped], chosen)
    total.skipped.sort(key=lambda entry: entry.id)
    return Evaluation.of(rows_of(read, refine), data, total, settings, time.perf_counter() - start)


class ByModel:
    """Labels under each rule; then, where masks are refined, under each rule again with the refinement.

    The model is under the protocol of ``data`` (:func:`under_protocol`).
    """

    def __init__(self, model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], refine: PAMR | None) -> None:
        self.model, self.data, self.rules, self.refine = model, data, rules, refine
        self.names = list(map(str, rows_of(rules, refine)))
        self.thresholds = [data.protocol.threshold(rule) for rule in rules]

    def prepare(self) -> None:
        self.text = self.model.encode_classes(self.data.vocabulary)  # 847 classes take minutes on a CPU

    def label(self, index: int, sample: Sample, geometry: Geometry) -> Iterator[Tensor]:
        pixels = np.array(sample.image)
        embeddings = self.model.embed(pixels, self.rules, lambda features: geometry.update(features, self.rules))
        for embedding, threshold in zip(embeddings, self.thresholds, strict=True):
            yield labels_from_embedding(embedding, self.text, threshold)
        if self.refine is not None:
            picture = as_picture(pixels, embeddings[0].windows.device)
            affinities = self.refine.affinities(picture)  # they depend on the image only
            for embedding, threshold in zip(embeddings, self.thresholds, strict=True):
                yield refined_labels(embedding, self.text, picture, self.refine, threshold, affinities)


def under_protocol(model: ProxyCLIP, data: Dataset) -> ProxyCLIP:
    """Return the model with the windows and the resizing of a set; it shares all weights with the one given."""
    protocol, vfm = data.protocol, model.vfm
    if vfm is not None and vfm.spec.input_size == "crop":
        vfm = copy(vfm)  # the modules inside are shared
        vfm.input_size = protocol.window
    return replace(model, vfm=vfm, window=protocol.window, stride=protocol.stride, short_side=protocol.short_side,
                   long_side=protocol.long_side)


def evaluate(
    model: ProxyCLIP, dataset: Dataset | str, rules: Sequence[Rule | str] | None = None, limit: int | None = None,
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
        ``refine=proxyclip.PAMR()`` gives every rule a second row; the others are those of
        :class:`proxyclip.evaluation.counting.Options`.

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
