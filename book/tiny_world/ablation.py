"""Compare two trainings of tiny_clip, with and without attention-only pooling, on the validation seed.

``python -m book.tiny_world.ablation WITH WITHOUT`` takes the folders of two trainings of equal length.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from book.tiny_world.findings import DEFAULT_VFM
from book.tiny_world.score import (
    BASELINES,
    PRECISION_SCENES,
    average_precision,
    by_kind,
    dense_scores,
    from_vfm,
    oracle,
    scenes_of,
)
from proxyclip.loading import load
from proxyclip.models.weights.digests import sha256_of
from proxyclip.rules import Adaptive
from proxyclip.rules.parsing import parse_rule
from proxyclip.system.atomic import write_text
from proxyclip.system.parallel import parallel_map
from proxyclip.tiny import models
from proxyclip.tiny.world.sets import SETS_AVERAGED, VAL_SEED

ABLATION = models.WEIGHTS / "ablation.json"


def measure(job: tuple[Path, str], count: int) -> dict[str, float]:
    """Scores of one CLIP on one set, or its average precision where the set is "".

    Parameters
    ----------
    job : (Path, str)
        Weights of CLIP and name of the set.
    count : int
        Number of scenes.

    Returns
    -------
    dict
        By method: mIoU (per cent), or average precision of stuff and of things.
    """
    weights, set_name = job
    model = load(clip="tiny_clip", clip_weights=weights, vfm=DEFAULT_VFM, vfm_weights="random")
    if not set_name:
        return by_kind(average_precision(model.clip, VAL_SEED, PRECISION_SCENES * count)).to_dict()
    features = {"proxy": from_vfm(DEFAULT_VFM), "oracle": oracle}
    rules = {"": [parse_rule(name) for name in BASELINES], **dict.fromkeys(features, [Adaptive()])}
    tallies = dense_scores(model, set_name, scenes_of(set_name, VAL_SEED, count), features, rules)
    return {proxy or rule: confusion.compute().miou for (proxy, rule), confusion in tallies.items()}


def training(folder: Path) -> dict[str, Any]:
    """The training as a folder's model card describes it: attention_only, steps, samples, minutes, SHA-256."""
    card = json.loads((folder / "tiny_clip.json").read_text())
    if card.get("attention_only") is None:
        raise typer.BadParameter(
            f"the card in {folder} does not say in what share of the steps attention alone pooled; train it again")
    kept = {name: card[name] for name in ("attention_only", "steps", "samples", "seed", "wall_minutes")}
    return {**kept, "sha256": sha256_of(folder / "tiny_clip.safetensors")}


def main(
    with_it: Annotated[Path, typer.Argument(help="folder of the training with attention-only pooling", metavar="WITH")],
    without: Annotated[Path, typer.Argument(help="folder of the training without it", metavar="WITHOUT")],
    sets: Annotated[list[str] | None, typer.Option(help="sets; all but tiny/medley by default")] = None,
    count: Annotated[int, typer.Option(help="scenes per set", min=1)] = 32,
    workers: Annotated[int | None, typer.Option(help="processes; as many as cores by default")] = None,
    out: Annotated[Path, typer.Option(help="JSON file")] = ABLATION,
) -> None:
    """Score both on the validation seed and print their scores."""
    runs = {"with": training(with_it), "without": training(without)}
    if runs["with"]["steps"] != runs["without"]["steps"] or runs["without"]["attention_only"] != 0:
        raise typer.BadParameter("both trainings must have the same number of steps, and the second no such pooling")
    folders = {"with": with_it, "without": without}
    names = ["", *(sets or SETS_AVERAGED)]
    jobs = [(folder / "tiny_clip.safetensors", name) for folder in folders.values() for name in names]
    found = dict(parallel_map(partial(measure, count=count), jobs, workers, "runs and sets"))
    record: dict[str, Any] = {"seed": VAL_SEED, "scenes": count, "sets": names[1:], "runs": runs}
    record["vfm"] = {"name": DEFAULT_VFM, "sha256": models.digests()[DEFAULT_VFM]}
    for run, folder in folders.items():
        precision, *rows = (found[folder / "tiny_clip.safetensors", name] for name in names)
        record[run] = {
            "average_precision": {kind: round(value, 2) for kind, value in precision.items()},
            "miou": {method: round(sum(row[method] for row in rows) / len(rows), 2) for method in rows[0]},
        }
    write_text(out, json.dumps(record, indent=1) + "\n")
    typer.echo(json.dumps({run: record[run] for run in folders}, indent=1))


if __name__ == "__main__":
    typer.run(main)
