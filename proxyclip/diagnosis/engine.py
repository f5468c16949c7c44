"""Evaluate a set under the protocol and with one setting changed at a time, in as few passes as possible."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from proxyclip.data.base import Dataset
from proxyclip.data.benchmark_files import BenchmarkDataset
from proxyclip.data.benchmarks import benchmark_row
from proxyclip.data.datasets import dataset
from proxyclip.data.protocol_card import card_of
from proxyclip.diagnosis.passes import Passes
from proxyclip.diagnosis.setting_costs import Diagnosis, finding
from proxyclip.diagnosis.settings import BY_NAME, SETTINGS, Configuration, Setting, obstacle
from proxyclip.diagnosis.variants import Variants
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.metrics import Confusion
from proxyclip.rules import Adaptive, Rule, Vanilla
from proxyclip.rules.parsing import parse_rule
from proxyclip.segment import ProxyCLIP


def diagnose(
    model: ProxyCLIP, data: Dataset | str, rule: Rule | str | None = None, limit: int | None = None,
    settings: Sequence[str] | None = None, labels: str | Path | None = None, show: bool = False,
) -> Diagnosis:
    """Measure by how much each setting of the protocol changes the mIoU, on these models and images.

    Model, data, rule and limit are those of :func:`proxyclip.evaluate`. ``settings`` are names from
    :data:`proxyclip.diagnosis.settings.SETTINGS`, all by default, and ``labels`` is a folder with the same label files
    by another conversion (COCO-Object). Raises ``ValueError`` if a setting is unknown or ``limit`` is not positive, and
    :class:`SampleError` when a sample is unusable.
    """
    data = dataset(data) if isinstance(data, str) else data
    data = data.with_windows(model.window, model.stride, model.short_side)
    rule = parse_rule(rule) if isinstance(rule, str) else rule or Adaptive()
    count = len(data.first(limit))
    for name in settings or ():
        if name not in BY_NAME:
            raise ValueError(f"unknown setting {name!r}; allowed are {', '.join(BY_NAME)}")
    chosen = SETTINGS if settings is None else [BY_NAME[name] for name in settings]
    left_out = {setting.name: reason for setting in chosen
                if (reason := obstacle(setting, model, data, rule, labels is not None))}
    changed = [setting for setting in chosen if setting.name not in left_out]
    truths = _other_labels(data, labels)
    areas: list[list[np.ndarray]] = []
    counted: Counter[str] = Counter()
    with torch.inference_mode():
        variants = Variants(under_protocol(model, data), data)
        for index in tqdm(range(count), unit="image", desc=data.name, disable=not show):
            areas.append(_one_image(variants, rule, truths, index, changed, counted))
    stacked = np.array(areas).swapaxes(0, 1)  # configurations, images, 3, classes
    base, others = stacked[0], stacked[1:]
    findings = []
    for setting, changed_areas in zip(changed, others, strict=True):
        per_image = setting.value == "image"
        if not per_image and (changed_areas == base).all():
            left_out[setting.name] = "it changes no label of these images"
        else:
            findings.append(finding(setting, base, changed_areas, per_image))
    return Diagnosis(card_of(data), rule.name, data.name, count, count == len(data), base, findings, left_out,
                     counted["all"] / counted["protocol"])


def _one_image(
    variants: Variants, rule: Rule, truths: Mapping[str, Dataset], index: int, changed: Sequence[Setting],
    counted: Counter[str],
) -> list[np.ndarray]:
    """Areas of one image under the protocol, then with each setting changed, (3, classes) each."""
    data, classes = variants.data, len(variants.data.vocabulary)
    sample = data[index]
    passes = Passes(variants, rule, np.array(sample.image))
    found = []
    for setting in (None, *changed):
        configuration = Configuration() if setting is None else setting.apply(Configuration())
        by = Vanilla() if configuration.threshold == "vanilla" else rule
        labels = passes.labels(configuration,
                               None if configuration.threshold == "none" else data.protocol.threshold(by))
        if setting is None:
            counted["protocol"] += passes.windows
        confusion = Confusion(classes, void=True)
        asked = next((one for one in (configuration.ignored, configuration.conversion) if one in truths), None)
        confusion.update(labels, sample.labels if asked is None else truths[asked][index].labels)
        found.append(confusion.areas())
    counted["all"] += passes.windows
    return found


def _other_labels(data: Dataset, labels: str | Path | None) -> dict[str, Dataset]:
    """The set with its labels as in the published evaluation, and from another folder, by the value of the setting."""
    others: dict[str, Dataset] = {}
    if isinstance(data, BenchmarkDataset):
        if (row := benchmark_row(f"{data.name.partition('@')[0]}@published")) is not None:
            others["255"] = BenchmarkDataset(row, data.root, data.vocabulary)
        if labels is not None:
            others["other"] = data.with_labels(Path(labels))
    return others
