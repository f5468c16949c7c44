"""Put trained weights into the package: ``python -m training.ship runs/tiny NAME…``.

Copies fp16 safetensors, records their SHA-256 in the manifest and writes the model cards. The card of a model that was
trained further from the shipped weights counts both trainings.

With ``--average`` the mean of several trainings is shipped. Networks trained further from the same weights stay in one
valley of the loss, so the mean of their weights is a useful network too, often better than each of them (Wortsman et
al. 2022, "Model soups").
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file
from torch import Tensor

from proxyclip.models.weights.digests import sha256_of
from proxyclip.system.atomic import replacing, write_text
from proxyclip.tiny import models


def continued(record: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The card of a training that began with shipped weights: totals, and each training by itself under ``runs``.

    Those of the mean of several trainings (:func:`average`) are listed one by one.
    """
    counts = ("steps", "samples", "wall_minutes")
    parts = ("seed", *counts, "device", "optimiser", "objective", "notes")
    last = [{key: run[key] for key in parts if key in run} for run in record.get("runs", [record])]
    runs = [*before.get("runs", [{key: before[key] for key in parts if key in before}]), *last]
    totals = {key: round(sum(run[key] for run in runs), 1) for key in counts}
    notes = [before.get("notes"), *map(_description, last)]
    if len(last) > 1:
        notes.append(f"The last {len(last)} runs began with the same weights; shipped is the mean of theirs.")
    return {**record, **totals, "notes": " ".join(filter(None, notes)), "runs": runs}


def _description(run: dict[str, Any]) -> str:
    described = (
        f"Then {run['steps']:,} more steps ({run['wall_minutes']:g} minutes) from these weights, "
        f"with learning rates of {run['optimiser']['muon_lr']:g} and {run['optimiser']['adam_lr']:g}."
    )
    return f"{described} {run['notes']}" if run.get("notes") else described


def mean_of(weights: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of each tensor of state dictionaries of one architecture, taken in double precision.

    The means have the dtypes of the first dictionary. Raises ``ValueError`` if names or shapes differ.
    """
    shapes = [{name: tensor.shape for name, tensor in one.items()} for one in weights]
    if any(other != shapes[0] for other in shapes[1:]):
        raise ValueError("only weights of one architecture can be averaged: names or shapes of the tensors differ")
    return {
        name: torch.stack([one[name].double() for one in weights]).mean(dim=0).to(tensor.dtype)
        for name, tensor in weights[0].items()
    }


def card_of(cards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The card of an average: the first one's, with the totals of all and each training under ``runs``.

    Raises ``ValueError`` if the trainings did not begin with the same weights.
    """
    if not cards[0].get("started_from") or len({card.get("started_from") for card in cards}) > 1:
        raise ValueError("only trainings that began with the same weights can be averaged; their cards say otherwise")
    totals = {key: round(sum(card[key] for card in cards), 1) for key in ("steps", "samples", "wall_minutes")}
    return {**cards[0], **totals, "runs": list(cards)}


def average(name: str, runs: Sequence[Path], out: Path) -> None:
    """Write the mean of several trainings of one model, and its card, into a folder like that of a training.

    Raises ``FileNotFoundError`` if a folder holds no finished training of the model, and ``ValueError`` if they cannot
    be averaged.
    """
    needed = [run / f"{name}.{kind}" for run in runs for kind in ("json", "safetensors")]
    if missing := [path for path in needed if not path.is_file()]:
        raise FileNotFoundError(f"{missing[0]} is missing; every folder must hold a finished training of {name}")
    card = card_of([json.loads((run / f"{name}.json").read_text()) for run in runs])
    mean = mean_of([load_file(run / f"{name}.safetensors") for run in runs])
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / f"{name}.safetensors") as path:
        save_file(mean, path)
    write_text(out / f"{name}.json", json.dumps(card, indent=1) + "\n")


def ship_weights(name: str, runs: Path, folder: Path = models.WEIGHTS) -> Path:
    """Copy one model's weights and card into the package, update the manifest, and return the shipped file."""
    source, card = runs / f"{name}.safetensors", runs / f"{name}.json"
    if missing := [path for path in (source, card) if not path.exists()]:
        command = f"python -m training.pretrain {name} --out {runs}"
        raise FileNotFoundError(f"{missing[0]} is missing; only a finished training can be shipped; run {command}")
    target, manifest = folder / source.name, folder / models.MANIFEST.name
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    record = json.loads(card.read_text())
    if record.get("started_from") and record["started_from"] == entries.get(name, {}).get("sha256"):
        record = continued(record, json.loads((folder / f"{name}.json").read_text()))
    with replacing(target) as path:
        shutil.copyfile(source, path)
    write_text(folder / f"{name}.json", json.dumps(record, indent=1) + "\n")
    entries[name] = {"sha256": sha256_of(target), "bytes": target.stat().st_size}
    write_text(manifest, json.dumps(dict(sorted(entries.items())), indent=1) + "\n")
    return target


def main(
    runs: Annotated[Path, typer.Argument(help="folder of the trainings")],
    names: Annotated[list[str] | None, typer.Argument(help="models; all that were trained by default")] = None,
    of: Annotated[
        list[Path] | None,
        typer.Option("--average", help="folders whose mean is taken first and written to the folder of the trainings"),
    ] = None,
) -> None:
    """Ship trained models with the package."""
    if unknown := [name for name in names or () if name not in models.MODELS]:
        raise typer.BadParameter(f"must be among {', '.join(models.MODELS)}, got {unknown[0]!r}")
    if of and (len(of) < 2 or not names):
        raise typer.BadParameter(f"an average takes two folders at least and the models' names, got {len(of)} folders")
    for name in names or [n for n in models.MODELS if (runs / f"{n}.safetensors").exists()]:
        try:
            if of:
                average(name, of, runs)
            path = ship_weights(name, runs)
        except (FileNotFoundError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None
        typer.echo(f"{path.name}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    typer.run(main)
