"""Measure how the rules' parameters matter on the tiny world: ``python -m proxyclip.book.tiny_world.study``.

A grid of beta and gamma and a range of hard masks, with every vision foundation model, on test seeds. What has been
measured is kept after every set and seed, so an interrupted study goes on where it stopped.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from proxyclip.book.tiny_world.score import Proxy, as_frame, dense_scores, loaded, scenes_of
from proxyclip.rules import Adaptive, HardMask, MaskingRule
from proxyclip.segment import ProxyCLIP
from proxyclip.system.atomic import write_text
from proxyclip.system.parallel import parallel_map
from proxyclip.tiny import models
from proxyclip.tiny.world.sets import TEST_SEED

STUDY = models.WEIGHTS / "study.json"
#: Scenes per set and seed. Among 16, some of the rarer things never appear: a single wrong pixel of such a class then
#: takes 2 to 3 points off the mIoU of one rule and not of its neighbour, and a gap between rules shows nothing else.
SCENES = 32
SEEDS = tuple(TEST_SEED + i for i in range(3))
#: One set of each kind, as chapter B takes them.
SETS_STUDIED = ("tiny/voc", "tiny/context", "tiny/stuff", "tiny/street")
#: The range in which the supplement finds every beta and gamma good.
BETAS, GAMMAS = (1.0, 1.2, 1.4, 1.6), (2.0, 3.0, 4.0, 5.0)
#: The cosines of some models crowd near one: the last step is half as wide.
ALPHAS = (*(tenth / 10 for tenth in range(10)), 0.95)


def rules_studied() -> list[MaskingRule]:
    """The grid, the default among it, and the hard masks."""
    return [*(Adaptive(beta, gamma) for beta in BETAS for gamma in GAMMAS), *map(HardMask, ALPHAS)]


def models_in(folder: Path) -> tuple[ProxyCLIP, dict[str, Proxy]]:
    """CLIP and the trained VFMs of a folder of weights."""
    model, features = loaded(folder)
    return model, {name: proxy for name, proxy in features.items() if name in models.MODELS}


def measure(job: tuple[str, int], folder: Path, count: int) -> pd.DataFrame:
    """Scores of one (set, seed), as :func:`proxyclip.book.tiny_world.score.as_frame` gives them."""
    model, features = models_in(folder)
    set_name, seed = job
    rules = dict.fromkeys(features, rules_studied())
    return as_frame(set_name, seed, dense_scores(model, set_name, scenes_of(set_name, seed, count), features, rules))


def settings(folder: Path, count: int) -> dict[str, Any]:
    """What the scores of a study depend on; a file with other settings is not continued."""
    rules = [rule.name for rule in rules_studied()]
    return {"scenes": count, "rules": rules, "weights": models.digests(folder)}


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per set, seed and proxy, with the mIoU (per cent) of the rules in the order of the settings."""
    grouped = frame.groupby(["set", "seed", "proxy"], sort=False)["miou"]
    return [
        {"set": name, "seed": int(seed), "proxy": proxy, "miou": values.round(3).tolist()}
        for (name, seed, proxy), values in grouped
    ]


def frame_of(record: dict[str, Any]) -> pd.DataFrame:
    """The scores of a study: set, seed, proxy, rule, miou; the inverse of :func:`rows_of`."""
    rules = record["settings"]["rules"]
    rows = [
        (row["set"], row["seed"], row["proxy"], rule, miou)
        for row in record["rows"]
        for rule, miou in zip(rules, row["miou"], strict=True)
    ]
    return pd.DataFrame(rows, columns=["set", "seed", "proxy", "rule", "miou"])


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a study as JSON, a line for each row."""
    rows = ",\n".join(json.dumps(row) for row in record["rows"])
    write_text(path, f'{{"settings": {json.dumps(record["settings"])},\n"rows": [\n{rows}\n]}}\n')


def run(out: Path, jobs: list[tuple[str, int]], folder: Path, count: int, workers: int | None = None) -> dict[str, Any]:
    """Measure the jobs that ``out`` lacks and return everything it then holds.

    Parameters
    ----------
    out : Path
        JSON file; continued when its settings are the same, replaced otherwise.
    jobs : list of (set, seed)
    folder : Path
        Weights of CLIP and of the VFMs.
    count : int
        Scenes per set and seed.
    workers : int, optional
        Processes; as many as cores by default.
    """
    record = {"settings": settings(folder, count), "rows": []}
    if out.exists():
        before = json.loads(out.read_text())
        if before["settings"] == record["settings"]:
            record = before
        else:
            typer.echo(f"{out} was measured with other scenes, rules or weights; it is measured again")
    done = {(row["set"], row["seed"]) for row in record["rows"]}
    left = [job for job in jobs if job not in done]
    for _, frame in parallel_map(partial(measure, folder=folder, count=count), left, workers, "sets and seeds"):
        record["rows"] += rows_of(frame)
        write(out, record)
    return record


def main(
    seeds: Annotated[list[int] | None, typer.Option(help="world seeds; the three test seeds by default")] = None,
    sets: Annotated[list[str] | None, typer.Option(help="sets; one of each kind by default")] = None,
    count: Annotated[int, typer.Option(help="scenes per set and seed", min=1)] = SCENES,
    weights: Annotated[Path, typer.Option(help="folder of safetensors")] = models.WEIGHTS,
    workers: Annotated[int | None, typer.Option(help="processes; as many as cores by default")] = None,
    out: Annotated[Path, typer.Option(help="JSON file, continued if it is there")] = STUDY,
) -> None:
    """Measure a grid of beta and gamma and a range of alpha, and print where the default stands."""
    from proxyclip.book.tiny_world import findings

    jobs = [(name, seed) for name in sets or SETS_STUDIED for seed in seeds or SEEDS]
    frame = frame_of(run(out, jobs, weights, count, workers))
    typer.echo(findings.plateau(frame).round(1).to_string(index=False))
    typer.echo(findings.hard_masks(frame).round(1).to_string())


if __name__ == "__main__":
    typer.run(main)
