"""What the tiny models must reach, on seeds that judge nothing else: ``python -m training.measures.floors OLD``.

``OLD`` is a folder with the weights of an earlier version, ``NAME.safetensors`` of each model, as
``git show COMMIT:proxyclip/tiny/weights/NAME.safetensors`` gives them; the stored record took them from commit b74ac35.
Both read the same scenes with the same CLIP. :mod:`training.measures.requirements` judges the record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from proxyclip.attention import unit
from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.metrics import Confusion
from proxyclip.loading import load
from proxyclip.rules import Adaptive, HardMask, Identity, Rule
from proxyclip.rules.parsing import parse_rule
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement.defaults import CHAPTER_SETS
from proxyclip.system.atomic import write_text
from proxyclip.tiny import models
from training.measures.requirements import ALPHAS, BETAS, CLIP_RULES, RUNS, SWEPT, TABLE_2_SET, VFMS, in_words
from training.measures.score import (
    PRECISION_SCENES,
    Proxy,
    average_precision,
    by_kind,
    dense_scores,
    from_vfm,
    scenes_of,
)
from training.parallel import parallel_map
from training.selection import SETS_AVERAGED

FLOORS = models.WEIGHTS / "floors.json"
#: Used once, for the present weights.
SEEDS = (9801, 9802, 9803)
SCENES = 12
#: Of the histograms of cosines, over [-1, 1].
BINS = 2000


@dataclass
class Cosines:
    """Counts of the cosines between different patches of windows, and of what the default rule keeps."""

    bins: np.ndarray = field(default_factory=lambda: np.zeros(BINS))  #: (BINS,) float64
    kept: Geometry = field(default_factory=Geometry)

    def update(self, features: Tensor) -> None:
        """Count windows of features (W, C, h, w)."""
        vectors = unit(features.float().flatten(2).mT)
        cosines = vectors @ vectors.mT
        different = ~torch.eye(cosines.shape[1], dtype=torch.bool)
        self.bins += torch.histc(cosines[:, different], BINS, -1, 1).double().numpy()
        self.kept.update(features, [Adaptive()])

    def merge(self, other: Cosines) -> None:
        self.bins = self.bins + other.bins
        self.kept.merge(other.kept)

    def fingerprint(self) -> dict[str, Any]:
        """Mean, quantiles (5, 25, 50, 75, 95 %), shares below 0, .2, .4, .6 and .8, and of rows alone (per cent)."""
        edges = np.linspace(-1, 1, BINS + 1)
        share = np.concatenate([[0.0], self.bins.cumsum() / self.bins.sum()])
        below = np.interp((0, 0.2, 0.4, 0.6, 0.8), edges, share)
        return {
            "mean": round(float((self.bins * (edges[1:] + edges[:-1]) / 2).sum() / self.bins.sum()), 3),
            "quantiles": np.interp((0.05, 0.25, 0.5, 0.75, 0.95), share, edges).round(3).tolist(),
            "below": (100 * below).round(1).tolist(),
            "alone": round(self.kept.compute()["rows_alone"][0], 3),
        }


#: Confusions by (proxy, rule), and the cosines of each proxy.
Counts = tuple[dict[tuple[str, str], Confusion], dict[str, Cosines]]


@cache
def loaded(old: Path, new: Path) -> tuple[ProxyCLIP, dict[str, Proxy]]:
    """CLIP with the new weights, and each VFM with both, as "before/NAME" (if it changed) and "after/NAME"."""
    model = load(clip="tiny_clip", clip_weights=new / "tiny_clip.safetensors", vfm="tiny_dino", vfm_weights="random")
    before, after = models.digests(old), models.digests(new)
    found = {f"after/{name}": from_vfm(name, new / f"{name}.safetensors") for name in VFMS}
    return model, found | {f"before/{name}": from_vfm(name, old / f"{name}.safetensors")
                           for name in VFMS if before[name] != after[name]}


def rules_of(proxy: str, set_name: str) -> list[Rule]:
    """The masking rules under which a proxy is scored on a set."""
    rules: list[Rule] = [Adaptive()]
    if proxy in ("after/tiny_dino", "after/tiny_dino8"):  # the two grids; the identity reads nothing else of a VFM
        rules.append(Identity())
    if proxy.endswith(f"/{SWEPT}") and set_name in CHAPTER_SETS["tiny"]["B"]:
        rules += [Adaptive(beta) for beta in BETAS if beta != Adaptive().beta]
    return rules + (list(map(HardMask, ALPHAS)) if set_name == TABLE_2_SET else [])


def counting(proxy: Proxy, cosines: Cosines) -> Proxy:
    """A proxy that also counts its cosines."""

    def features(pixels: Tensor, instances: Tensor) -> Tensor:
        found = proxy(pixels, instances)
        cosines.update(found)
        return found

    return features


def measure(job: tuple[str, int], old: Path, new: Path, count: int) -> Counts:
    """Confusions and cosines on one (set, seed)."""
    (model, proxies), (set_name, seed) = loaded(old, new), job
    cosines = {name: Cosines() for name in proxies}
    features = {name: counting(proxy, cosines[name]) for name, proxy in proxies.items()}
    rules = {"": [parse_rule(name) for name in CLIP_RULES], **{name: rules_of(name, set_name) for name in proxies}}
    return dense_scores(model, set_name, scenes_of(set_name, seed, count), features, rules), cosines


def merged(counts: dict[tuple[str, int], Counts]) -> dict[str, Any]:
    """Scores and fingerprints over the seeds of each set together.

    ``miou`` is by proxy ("" for CLIP's own rules), rule and set, in per cent; ``geometry`` by proxy and set, and over
    all sets as "all". A model that did not change has the same before and after.
    """
    scores: dict[str, dict[str, dict[str, Confusion]]] = {}
    cosines: dict[str, dict[str, Cosines]] = {}
    for (name, _), (confusions, parts) in counts.items():
        for (proxy, rule), confusion in confusions.items():
            of_rule = scores.setdefault(proxy, {}).setdefault(rule, {})
            of_rule.setdefault(name, Confusion(confusion.classes)).merge(confusion)
        for proxy, part in parts.items():
            for where in (name, "all"):
                cosines.setdefault(proxy, {}).setdefault(where, Cosines()).merge(part)
    found: dict[str, dict[str, Any]] = {
        "miou": {proxy: {rule: {name: round(confusion.compute().miou, 3) for name, confusion in of_rule.items()}
                         for rule, of_rule in by_rule.items()} for proxy, by_rule in scores.items()},
        "geometry": {proxy: {where: part.fingerprint() for where, part in by_set.items()}
                     for proxy, by_set in cosines.items()},
    }
    for by_proxy in found.values():
        for proxy in list(by_proxy):
            by_proxy.setdefault(proxy.replace("after/", "before/"), by_proxy[proxy])
    return found


def main(
    old: Annotated[Path, typer.Argument(help="folder of the earlier weights", metavar="OLD")],
    seeds: Annotated[list[int] | None, typer.Option(help="world seeds; 9801 to 9803 by default")] = None,
    count: Annotated[int, typer.Option(help="scenes per set and seed", min=1)] = SCENES,
    weights: Annotated[Path, typer.Option(help="folder of the present weights")] = models.WEIGHTS,
    workers: Annotated[int | None, typer.Option(help="processes; as many as cores by default")] = None,
    out: Annotated[Path, typer.Option(help="JSON file")] = FLOORS,
) -> None:
    """Score both on every averaged set, and print which requirements they meet."""
    chosen = list(seeds or SEEDS)
    jobs = [(name, seed) for name in SETS_AVERAGED for seed in chosen]
    counted = dict(parallel_map(partial(measure, old=old, new=weights, count=count), jobs, workers, "sets and seeds"))
    clip = loaded(old, weights)[0].clip
    precision = [by_kind(average_precision(clip, seed, PRECISION_SCENES * count)) for seed in chosen]
    size = {run: sum(path.stat().st_size for path in folder.glob("*.safetensors"))
            for run, folder in zip(RUNS, (old, weights), strict=True)}
    record = {
        "seeds": chosen,
        "scenes": count,
        "weights": models.digests(weights),
        "weights_before": models.digests(old),
        "bytes": size,
        "average_precision": (sum(precision) / len(precision)).round(2).to_dict(),
        **merged({job: counted[job] for job in jobs}),
    }
    write_text(out, json.dumps(record) + "\n")
    typer.echo(in_words(record))


if __name__ == "__main__":
    typer.run(main)
