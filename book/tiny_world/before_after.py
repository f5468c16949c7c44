"""Score two sets of weights side by side: ``python -m book.tiny_world.before_after OLD``.

``OLD`` is a folder with the weights of an earlier version, ``NAME.safetensors`` of each model, as
``git show COMMIT:proxyclip/tiny/weights/NAME.safetensors`` gives them; the stored record took them from commit cb03c12.
Both read the same scenes with the same CLIP. The default seeds are used for this comparison alone, and for no training
and no choice. :mod:`book.tiny_world.floors` judges the scores.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from torch import Tensor

from book.tiny_world.floors import BETAS, CLIP_RULES, RUNS, SWEPT, VFMS, in_words
from book.tiny_world.score import (
    PRECISION_SCENES,
    Proxy,
    average_precision,
    by_kind,
    dense_scores,
    from_vfm,
    oracle,
    scenes_of,
)
from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.metrics import Confusion
from proxyclip.loading import load
from proxyclip.rules import Adaptive, HardMask, Identity, Rule
from proxyclip.rules.parsing import parse_rule
from proxyclip.segment import ProxyCLIP
from proxyclip.system.atomic import write_text
from proxyclip.system.parallel import parallel_map
from proxyclip.tiny import models
from proxyclip.tiny.world.sets import SETS_AVERAGED

BEFORE_AFTER = models.WEIGHTS / "before_after.json"
#: Used once, for the present weights. Seeds 9101 to 9103 judged an earlier tiny_dino, whose misses led to this one.
SEEDS = (9201, 9202, 9203)
SCENES = 12
ALPHAS = tuple(step / 20 for step in range(20))

#: Confusions by (proxy, rule), and the geometry of each proxy's similarities under the default rule.
Counts = tuple[dict[tuple[str, str], Confusion], dict[str, Geometry]]


@cache
def loaded(old: Path, new: Path) -> tuple[ProxyCLIP, dict[str, Proxy]]:
    """CLIP with the new weights, and each VFM with both, as "before/NAME" and "after/NAME"."""
    model = load(clip="tiny_clip", clip_weights=new / "tiny_clip.safetensors", vfm="tiny_dino", vfm_weights="random")
    return model, {f"{run}/{name}": from_vfm(name, folder / f"{name}.safetensors")
                   for run, folder in zip(RUNS, (old, new), strict=True) for name in VFMS}


def rules_of(proxy: str) -> list[Rule]:
    """The masking rules under which a proxy is scored."""
    swept = [Adaptive(beta) for beta in BETAS if beta != Adaptive().beta] if proxy.endswith(f"/{SWEPT}") else []
    return [Adaptive(), Identity(), *map(HardMask, ALPHAS), *swept]


def counting(proxy: Proxy, geometry: Geometry) -> Proxy:
    """A proxy that also counts the geometry of its similarities."""

    def features(pixels: Tensor, instances: Tensor) -> Tensor:
        found = proxy(pixels, instances)
        geometry.update(found, [Adaptive()])
        return found

    return features


def measure(job: tuple[str, int], old: Path, new: Path, count: int) -> Counts:
    """Confusions and geometry on one (set, seed)."""
    (model, proxies), (set_name, seed) = loaded(old, new), job
    geometries = {name: Geometry() for name in proxies}
    features = {**{name: counting(proxy, geometries[name]) for name, proxy in proxies.items()}, "oracle": oracle}
    rules = {"": [parse_rule(name) for name in CLIP_RULES], **{name: rules_of(name) for name in proxies},
             "oracle": [Adaptive()]}
    return dense_scores(model, set_name, scenes_of(set_name, seed, count), features, rules), geometries


def merged(found: dict[tuple[str, int], Counts]) -> tuple[dict[str, dict[str, list[float]]], dict[str, Any]]:
    """Scores and geometry over the seeds of each set together.

    Returns
    -------
    miou : dict of proxy to dict of rule to list of float
        mIoU (per cent) by set, in the order of the sets; CLIP's own rules under "".
    geometry : dict of proxy to dict of str to float
        Mean cosine, share of entries kept and of rows alone (per cent) over the windows of all sets.
    """
    together: dict[tuple[str, str], dict[str, Confusion]] = {}
    geometry: dict[str, Geometry] = {}
    for (name, _), (confusions, geometries) in found.items():
        for key, confusion in confusions.items():
            together.setdefault(key, {}).setdefault(name, Confusion(confusion.classes)).merge(confusion)
        for proxy, counts in geometries.items():
            geometry.setdefault(proxy, Geometry()).merge(counts)
    miou: dict[str, dict[str, list[float]]] = {}
    for (proxy, rule), by_set in together.items():
        miou.setdefault(proxy, {})[rule] = [round(confusion.compute().miou, 3) for confusion in by_set.values()]
    columns = {"mean_similarity": "mean", "kept": "kept", "rows_alone": "alone"}
    shares = {
        proxy: {short: round(float(counts.compute()[column].iloc[0]), 4) for column, short in columns.items()}
        for proxy, counts in geometry.items()
    }
    return miou, shares


def gains_by_seed(found: dict[tuple[str, int], Counts], seeds: Sequence[int]) -> dict[str, list[float]]:
    """The gain over identity by proxy and seed, in points of mIoU, mean of the sets."""
    gains: dict[str, list[float]] = {}
    for seed in seeds:
        parts = [confusions for (_, own), (confusions, _) in found.items() if own == seed]
        for proxy in dict.fromkeys(proxy for proxy, _ in parts[0] if "/" in proxy):
            scores = [[part[proxy, rule.name].compute().miou for part in parts] for rule in (Adaptive(), Identity())]
            gains.setdefault(proxy, []).append(round(float(np.mean(scores[0]) - np.mean(scores[1])), 3))
    return gains


def main(
    old: Annotated[Path, typer.Argument(help="folder of the earlier weights", metavar="OLD")],
    seeds: Annotated[list[int] | None, typer.Option(help="world seeds; 9201 to 9203 by default")] = None,
    count: Annotated[int, typer.Option(help="scenes per set and seed", min=1)] = SCENES,
    weights: Annotated[Path, typer.Option(help="folder of the present weights")] = models.WEIGHTS,
    workers: Annotated[int | None, typer.Option(help="processes; as many as cores by default")] = None,
    out: Annotated[Path, typer.Option(help="JSON file")] = BEFORE_AFTER,
) -> None:
    """Score both on every averaged set, and print which requirements they meet."""
    chosen = list(seeds or SEEDS)
    jobs = [(name, seed) for name in SETS_AVERAGED for seed in chosen]
    of_job = partial(measure, old=old, new=weights, count=count)
    counted = dict(parallel_map(of_job, jobs, workers, "sets and seeds"))
    found = {job: counted[job] for job in jobs}
    miou, geometry = merged(found)
    model, _ = loaded(old, weights)
    precision = [by_kind(average_precision(model.clip, seed, PRECISION_SCENES * count)) for seed in chosen]
    record = {
        "seeds": chosen,
        "scenes": count,
        "sets": list(SETS_AVERAGED),
        "weights": models.digests(weights),
        "weights_before": models.digests(old),
        "average_precision": (sum(precision) / len(precision)).round(2).to_dict(),
        "geometry": geometry,
        "gain_by_seed": gains_by_seed(found, chosen),
        "miou": miou,
    }
    write_text(out, json.dumps(record) + "\n")
    typer.echo(in_words(record))


if __name__ == "__main__":
    typer.run(main)
