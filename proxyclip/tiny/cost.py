"""Measure what the tiny world costs on a CPU: ``python -m proxyclip.tiny.cost``.

Seconds for the rules of all chapters when features are computed once, set by set, and milliseconds for a scene of the
generator and for a training crop.
"""

from __future__ import annotations

import json
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from proxyclip import experiment
from proxyclip.atomic import write_text
from proxyclip.clip import encode_vocabulary
from proxyclip.loading import PROFILES
from proxyclip.parsing import parse_rule
from proxyclip.rules import GEM, MaskingRule, Rule
from proxyclip.segment import ProxyCLIP
from proxyclip.text import Vocabulary
from proxyclip.timing import cpu_threads
from proxyclip.tiny import models
from proxyclip.tiny.cache import SHARD, SceneCache, write_shard
from proxyclip.tiny.parallel import cores, each
from proxyclip.tiny.score import Proxy, dense_scores, scenes_of
from proxyclip.tiny.sets import SETS, TEST_SEED, TRAIN_SEED
from proxyclip.tiny.study import models_in

COST = models.WEIGHTS / "cost.json"
#: Scenes a set that the total is stated for.
SCENES = 64
#: Costs of a set that grow with its scenes.
GROWING = ("scenes", "features", "rules")

_FREE = ("vanilla", "maskclip", "sclip")
#: Rules that the chapters read by default.
CHAPTERS: dict[str, tuple[str, ...]] = {
    "A": ("vanilla", "qk", "qq", "kk", "adaptive"),
    "B": tuple(f"adaptive:{b},{g}" for b in (0.8, 1.0, 1.2, 1.4, 1.6, 2.0) for g in (1.0, 2.0, 3.0, 5.0, 8.0)),
    "C": ("adaptive",),
    "D": (*(f"hard:{alpha}" for alpha in (0.0, 0.2, 0.4, 0.6, 0.8)), "adaptive"),
    "E": ("vanilla", *(k + reading for reading in ("", "/each", "/each/dot") for k in ("qk", "qq", "kk")), "adaptive"),
    "F": (*_FREE, GEM(depth=round(7 / 12 * models.CLIP_VISION.depth)).name, "adaptive",
          *(f"{name}/attention" for name in _FREE)),
    "G": ("vanilla", "maskclip", "qq", "adaptive"),
}  # fmt: skip


def plan(set_name: str) -> dict[str, list[Rule]]:
    """Every rule that some chapter reads on a set, once: by VFM, and under "" what reads CLIP alone."""
    found: dict[str, dict[str, Rule]] = {}
    for section, names in CHAPTERS.items():
        if set_name not in experiment.SETS["tiny"][section]:
            continue
        vfms = experiment.VFMS_OF["tiny"].get(section, (PROFILES["tiny"].vfm,))
        for rule in map(parse_rule, names):
            for reader in vfms if isinstance(rule, MaskingRule) else ("",):
                found.setdefault(reader, {})[rule.name] = rule
    return {reader: list(rules.values()) for reader, rules in found.items()}


class Stopwatch:
    """Seconds by name: of the wall clock, and of the CPU over all threads."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu = 0.0

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


def timed(proxy: Proxy, watch: Stopwatch) -> Proxy:
    """A proxy whose seconds are counted as "features"."""

    def call(pixels: torch.Tensor, instances: torch.Tensor) -> torch.Tensor:
        with watch.of("features"):
            return proxy(pixels, instances)

    return call


@cache
def warmed(folder: Path) -> tuple[ProxyCLIP, dict[str, Proxy]]:
    """The models, loaded and run once in this process: the first call of a model costs more than the others."""
    model, features = models_in(folder)
    rules = {"": [parse_rule("vanilla")], **dict.fromkeys(features, [parse_rule("adaptive")])}
    dense_scores(model, "tiny/voc20", scenes_of("tiny/voc20", TEST_SEED, 1), features, rules)
    return model, features


def cost_of_set(set_name: str, count: int, folder: Path) -> dict[str, float]:
    """Seconds that ``count`` scenes of a set cost with every rule of every chapter, features being computed once.

    Returns
    -------
    dict
        Seconds of text, scenes (rendering), features and rules (CLIP's image side and the labels among them), cpu (all
        of these, time of the CPU), rules_read (a rule counts for each VFM), began and ended (of the system's clock).
    """
    model, features = warmed(folder)
    rules = {reader: found for reader, found in plan(set_name).items() if reader == "" or reader in features}
    model.clip._text_cache.clear()
    watch, inner, began = Stopwatch(), Stopwatch(), time.time()
    with watch.of("text"):
        encode_vocabulary(model.clip, Vocabulary.parse(SETS[set_name].classes))
    with watch.of("scenes"):
        scenes = list(scenes_of(set_name, TEST_SEED, count))
    proxies = {name: timed(features[name], inner) for name in rules if name}
    with watch.of("rules"):
        dense_scores(model, set_name, scenes, proxies, rules)
    watch.wall["features"] = inner.wall.get("features", 0.0)
    watch.wall["rules"] -= watch.wall["features"]
    ends = {"began": began, "ended": time.time(), "rules_read": sum(map(len, rules.values()))}
    return {**{k: round(v, 3) for k, v in watch.wall.items()}, "cpu": round(watch.cpu, 3), **ends}


def cost_of_chapters(count: int, folder: Path, workers: int) -> dict[str, Any]:
    """Cost of all sets, shared by processes of one thread each, for ``SCENES`` scenes a set.

    Returns
    -------
    dict
        seconds (from the first start to the last end), cpu_seconds (over all processes), and sets as measured. The
        first two are in proportion where ``count`` is another number; text, which is encoded once, does not grow.
    """
    names = sorted(SETS, key=lambda name: -sum(map(len, plan(name).values())))  # the longest first
    sets = dict(each(partial(cost_of_set, count=count, folder=folder), names, workers, "sets"))
    wall = max(row["ended"] for row in sets.values()) - min(row["began"] for row in sets.values())
    cpu = sum(row["cpu"] for row in sets.values())
    text, rest = (sum(row[k] for row in sets.values() for k in kinds) for kinds in (("text",), GROWING))
    growth = (text + rest * SCENES / count) / (text + rest)
    drop = ("began", "ended")
    return {
        "seconds": round(wall * growth, 1),
        "cpu_seconds": round(cpu * growth, 1),
        "sets": {name: {k: v for k, v in sets[name].items() if k not in drop} for name in SETS},
    }


def best(function: Callable[[], object], items: int, repeats: int = 3) -> float:
    """Milliseconds of CPU for one of the ``items`` that a call makes, the least of some calls."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        seconds.append(time.process_time() - began)
    return 1e3 * min(seconds) / items


def cost_of_generator(card: dict[str, Any], scenes: int = SHARD) -> dict[str, float]:
    """Milliseconds of CPU for a scene of the training mixture and for a crop, on one thread.

    Parameters
    ----------
    card : dict
        The model card that tells how many crops were cut from how many scenes.
    scenes : int
        Scenes rendered for the measurement.

    Returns
    -------
    dict
        scene (rendering and saving), objects and windows (cutting one crop), crops_per_scene, and crop: a crop with
        its share of the scene.
    """
    with tempfile.TemporaryDirectory() as folder:
        scene = best(lambda: write_shard(Path(folder), 0, TRAIN_SEED, scenes), scenes, repeats=1)
        store, rng = SceneCache(Path(folder)), np.random.default_rng(0)
        objects, windows = (best(lambda cut=cut: cut(128, rng), 128) for cut in (store.objects, store.windows))
    reuse = card["samples"] / int(re.match(r"\d+", card["data"])[0])
    crop = max(objects, windows) + scene / reuse
    found = {"scene": scene, "objects": objects, "windows": windows, "crops_per_scene": reuse, "crop": crop}
    return {name: round(value, 3) for name, value in found.items()}


def main(
    count: Annotated[int, typer.Option(help="scenes a set that are measured", min=1)] = SCENES,
    workers: Annotated[int | None, typer.Option(help="processes of one thread; as many as cores by default")] = None,
    weights: Annotated[Path, typer.Option(help="folder of safetensors")] = models.WEIGHTS,
    out: Annotated[Path, typer.Option(help="JSON file")] = COST,
) -> None:
    """Measure the cost of all chapters' rules and of the generator."""
    workers = workers or cores()
    with cpu_threads(1):
        chapters = cost_of_chapters(count, weights, workers)
        generator = cost_of_generator(json.loads((weights / "tiny_clip.json").read_text()))
    record = {
        "scenes": count,
        "stated_for": SCENES,
        "weights": models.digests(weights),
        "workers": workers,
        "machine": platform.machine(),
        "torch": torch.__version__,
        **chapters,
        "generator_ms": generator,
    }
    write_text(out, json.dumps(record, indent=1) + "\n")
    typer.echo(f"{chapters['seconds']:.0f} s for {SCENES} scenes of {len(SETS)} sets ({count} measured)")
    typer.echo(", ".join(f"{name} {value:.2f}" for name, value in generator.items()))


if __name__ == "__main__":
    typer.run(main)
