"""``proxyclip doctor E``: what a chapter needs, what of it is present, and how long the run will take."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import typer
from PIL import Image

from proxyclip.cli.doctor import clip_row, vfm_row
from proxyclip.data.base import Dataset
from proxyclip.data.benchmark_files import BenchmarkDataset
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.datasets import dataset
from proxyclip.data.inventory import benchmark_statuses
from proxyclip.data.samples import DataError
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.inference.windows import window_boxes, working_size
from proxyclip.loading import PROFILES, load
from proxyclip.models.registry import check_vfm_name
from proxyclip.supplement.chapters.jobs import chapter_jobs, rules_of
from proxyclip.supplement.parameters import validate
from proxyclip.system.provenance import versions
from proxyclip.system.timing import timed

#: Images of a set whose size is read to estimate its number of windows.
MEASURED_IMAGES = 50


def check_needs(section: str, parameters: dict[str, Any]) -> bool:
    """Print what a chapter with these parameters needs and what of it is present; return whether it can run."""
    checked = validate(section, **parameters)
    if checked["profile"] == "tiny":
        print(f"Chapter {section} on profile tiny needs nothing: models and sets come with the package.")
        return True
    typer.secho(f"Chapter {section} on profile paper", bold=True)
    vfms, own = checked["vfm"], checked["vfm_weights"]
    packages = _packages(vfms)
    weights = [_weights_row("clip", checked["clip"] or PROFILES["paper"].clip, checked["clip_weights"]),
               *(_weights_row("vfm", name, own.get(name)) for name in vfms)]
    needs = [*packages, *weights, *_sets(checked)]
    for name, present, detail in needs:
        print(f"{'present' if present else 'missing'}  {name}: {detail}")
    if all(present for _, present, _ in packages):
        _print_time(section, checked)
    lacking = ", ".join(name for name, present, _ in needs if not present)
    print(f"not ready: {lacking}" if lacking else "ready")
    return not lacking


def _packages(vfms: Sequence[str]) -> list[tuple[str, bool, str]]:
    """What the chapter imports; diffusers only where it uses a diffusion model."""
    names = ["torch", "open_clip_torch", "timm", "papermill"]
    if any(check_vfm_name(name).source == "diffusers" for name in vfms):
        names += ["diffusers", "transformers"]
    found = versions()
    return [(name, found.get(name) is not None, found.get(name) or f"pip install {name}") for name in names]


def _weights_row(kind: str, name: str, own: str | None) -> tuple[str, bool, str]:
    if own == "random":
        return name, True, "untrained, as requested"
    if own is not None and Path(own).exists():
        size = sum(path.stat().st_size for path in ([Path(own)] if Path(own).is_file() else Path(own).rglob("*.*")))
        return name, True, f"{own}, {size / 2**20:.0f} MiB"
    label, present, source = clip_row(name, own or "openai") if kind == "clip" else vfm_row(name, check_vfm_name(name))
    if present:
        return label, True, "in the cache"
    with torch.device("meta"):
        model = load("paper", clip=name if kind == "clip" else None, clip_weights="random",
                     vfm=name if kind == "vfm" else None, vfm_weights="random", device="meta")
    module = model.vfm or model.clip.model
    mebibytes = sum(parameter.numel() for parameter in module.parameters()) * 4 / 2**20
    return label, False, f"about {mebibytes:.0f} MiB in single precision, from {source}"


def _sets(checked: dict[str, Any]) -> Iterator[tuple[str, bool, str]]:
    names = checked["datasets"]
    for row in benchmark_statuses(checked["data"]):
        benchmark = row.benchmark
        if benchmark.name in names:
            where = f"{row.images} of {benchmark.images[0]} images" + (f" in {row.folder}" if row.folder else "")
            rest = f"; {row.problem}; images: {benchmark.image_source}; labels: {benchmark.label_source}"
            yield benchmark.name, row.images > 0 and not row.missing, where + (rest if row.problem else "")
    for name in names:
        if name not in BENCHMARKS:  # the parameters are checked: it is there
            own = dataset(name, checked["data"])
            yield name, not own.problems(), f"{len(own) - len(own.problems())} of {len(own)} images"


def _print_time(section: str, checked: dict[str, Any]) -> None:
    """Time a window of each model on this device, and multiply by the number of windows."""
    try:
        jobs = chapter_jobs(section, checked)
    except ValueError as error:
        print(f"time: not estimated, {error}")
        return
    total, unknown = 0.0, []
    seconds: dict[str, float] = {}
    opened = cache(lambda name: dataset(name, checked["data"]))
    for job in jobs:
        try:
            data = opened(job.dataset)
        except DataError:
            unknown.append(job.dataset)
            continue
        if job.vfm not in seconds:
            seconds[job.vfm] = _seconds_per_window(job.vfm, section, checked, data)
        total += seconds[job.vfm] * _windows(data, checked["limit"])
    for vfm, value in seconds.items():
        print(f"{vfm}: {value:.3g} s a window on {checked['device']}")
    if not seconds:
        print("time: not estimated, none of the sets is present")
        return
    left_out = f", without {', '.join(dict.fromkeys(unknown))}" if unknown else ""
    duration = f"{total / 60:.0f} min" if total < 7200 else f"{total / 3600:.1f} h"
    print(f"the evaluations take about {duration if total >= 120 else f'{total:.0f} s'}{left_out}")


def _seconds_per_window(vfm: str, section: str, checked: dict[str, Any], data: Dataset) -> float:
    """Median of three windows; untrained weights take the same time."""
    model = load("paper", clip=checked["clip"], clip_weights="random", vfm=vfm, vfm_weights="random",
                 device=checked["device"], dtype=checked["dtype"])
    rules = rules_of(section, checked, model.clip)
    side = data.protocol.window
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    adapted = replace(under_protocol(model, data), short_side=side)
    return timed(lambda: adapted.embed(image, rules), checked["device"], repeats=3).median


def _windows(data: Dataset, limit: int | None) -> float:
    """Number of windows of a set, from the sizes of its first images."""
    count = len(data) if limit is None else min(limit, len(data))
    counts = []
    for index in range(min(count, MEASURED_IMAGES)):
        path = cast(BenchmarkDataset, data).paths(index)[0]  # on this profile all sets are files
        if path.is_file():
            with Image.open(path) as picture:
                height, width = working_size(picture.height, picture.width, data.protocol.short_side,
                                             data.protocol.long_side)
            counts.append(len(window_boxes(height, width, data.protocol.window, data.protocol.stride)))
    return count * float(np.mean(counts)) if counts else 0.0
