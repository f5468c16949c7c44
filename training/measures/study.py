"""Measure how much the rules' parameters matter on the tiny world: ``python -m training.measures.study``.

The study scores a grid of beta and gamma and a range of hard masks with every vision foundation model, on test seeds.
It saves its scores after every set and seed, so that an interrupted study continues where it stopped.
"""

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from proxyclip.rules import Adaptive, HardMask, MaskingRule
from proxyclip.system.atomic import write_text
from proxyclip.tiny import models
from proxyclip.tiny.world.sets import TEST_SEED
from training.measures import findings
from training.measures.score import as_frame, dense_scores, loaded, scenes_of
from training.parallel import parallel_map

STUDY = models.WEIGHTS / "study.json"
#: Scenes per set and seed. Among 16, some of the rarer things never appear. A single wrong pixel of such a class then
#: takes 2 to 3 points off the mIoU of one rule and not of its neighbour, which hides the gap between the rules.
SCENES = 32
SEEDS = tuple(TEST_SEED + i for i in range(3))
#: One set of each kind, as in chapter B.
SETS_STUDIED = ("tiny/voc", "tiny/context", "tiny/stuff", "tiny/street")
#: The range in which the supplement calls every beta and gamma good.
BETAS, GAMMAS = (1.0, 1.2, 1.4, 1.6), (2.0, 3.0, 4.0, 5.0)
#: The last step is half as wide, because the cosines of some models are all close to one.
ALPHAS = (*(tenth / 10 for tenth in range(10)), 0.95)


def rules_studied() -> list[MaskingRule]:
    """The grid, which includes the default, and the hard masks."""
    return [*(Adaptive(beta, gamma) for beta in BETAS for gamma in GAMMAS), *map(HardMask, ALPHAS)]


def measure(job: tuple[str, int], folder: Path, count: int) -> pd.DataFrame:
    """Scores of the trained VFMs on one (set, seed), as :func:`training.measures.score.as_frame` gives them."""
    (model, features), (set_name, seed) = loaded(folder), job
    rules = {name: rules_studied() for name in features if name in models.MODELS}
    return as_frame(set_name, seed, dense_scores(model, set_name, scenes_of(set_name, seed, count), features, rules))


def settings(folder: Path, count: int) -> dict[str, Any]:
    """Everything that the scores of a study depend on; a file with other settings is replaced."""
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
    frame = pd.DataFrame(record["rows"], columns=["set", "seed", "proxy", "rule", "miou"])
    frame["rule"] = [record["settings"]["rules"]] * len(frame)
    return frame.explode(["rule", "miou"], ignore_index=True).astype({"rule": str, "miou": float})


def write(path: Path, record: dict[str, Any]) -> None:
    """Write a study as JSON, a line for each row."""
    rows = ",\n".join(json.dumps(row) for row in record["rows"])
    write_text(path, f'{{"settings": {json.dumps(record["settings"])},\n"rows": [\n{rows}\n]}}\n')


def run(out: Path, jobs: list[tuple[str, int]], folder: Path, count: int, workers: int | None = None) -> dict[str, Any]:
    """Measure the jobs, pairs of a set and a seed, that are missing in ``out`` and return its whole content.

    ``out`` is a JSON file; it is continued when its settings are the same, and replaced otherwise. ``folder`` has the
    weights of CLIP and of the VFMs, and ``count`` is the number of scenes per set and seed.
    """
    record: dict[str, Any] = {"settings": settings(folder, count), "rows": []}
    if out.exists():
        before = json.loads(out.read_text())
        if before["settings"] == record["settings"]:
            record = before
        else:
            typer.echo(f"{out} was measured with other scenes, rules or weights, so everything is measured again")
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
    out: Annotated[Path, typer.Option(help="JSON file, continued if it exists")] = STUDY,
) -> None:
    """Measure a grid of beta and gamma and a range of alpha, and print how the default compares."""
    jobs = [(name, seed) for name in sets or SETS_STUDIED for seed in seeds or SEEDS]
    frame = frame_of(run(out, jobs, weights, count, workers))
    typer.echo(findings.plateau(frame).round(1).to_string(index=False))
    typer.echo(findings.hard_masks(frame).round(1).to_string())


if __name__ == "__main__":
    typer.run(main)
