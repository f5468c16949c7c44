"""Put trained weights into the package: ``python -m proxyclip.tiny.training.ship runs/tiny NAME…``.

Copies fp16 safetensors, records their SHA-256 in the manifest and writes the model cards. The card of a model that was
trained further from the shipped weights counts both trainings.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from proxyclip.system.atomic import replacing, write_text
from proxyclip.tiny import models
from proxyclip.tiny.training.pretrain import RECIPES


def training_record(name: str, runs: Path) -> dict[str, Any]:
    """The card written by a training, or what its checkpoint says when it has not ended."""
    finished = runs / f"{name}.json"
    if finished.exists():
        return json.loads(finished.read_text())
    state = torch.load(runs / f"{name}.pt", map_location="cpu", weights_only=True)
    return {
        "name": name,
        "family": models.MODELS[name].family,
        "objective": RECIPES[name].about,
        "steps": state["step"],
        "samples": state["samples"],
        "wall_minutes": round(state["seconds"] / 60, 1),
        "curve": state["curve"],
        "finished": False,
    }


def continued(record: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The card of a training that went on from shipped weights: totals, with each run described apart under ``runs``.

    The mean of several trainings (:mod:`proxyclip.tiny.training.average`) brings each of them.
    """
    counts = ("steps", "samples", "wall_minutes")
    parts = ("seed", *counts, "device", "optimiser", "objective", "notes")
    last = [{key: run[key] for key in parts if key in run} for run in record.get("runs", [record])]
    runs = [*before.get("runs", [{key: before[key] for key in parts if key in before}]), *last]
    totals = {key: round(sum(run[key] for run in runs), 1) for key in counts}
    notes = [before.get("notes"), *map(_further, last)]
    if len(last) > 1:
        notes.append(f"The last {len(last)} runs began with the same weights; shipped is the mean of theirs.")
    return {**record, **totals, "notes": " ".join(filter(None, notes)), "runs": runs}


def _further(run: dict[str, Any]) -> str:
    described = (
        f"Then {run['steps']:,} more steps ({run['wall_minutes']:g} minutes) from these weights, "
        f"with learning rates of {run['optimiser']['muon_lr']:g} and {run['optimiser']['adam_lr']:g}."
    )
    return f"{described} {run['notes']}" if run.get("notes") else described


def ship_weights(name: str, runs: Path, folder: Path = models.WEIGHTS) -> Path:
    """Copy one model's weights and card into the package and update the manifest.

    Returns
    -------
    Path
        The shipped file.
    """
    source = runs / f"{name}.safetensors"
    if not source.exists():
        command = f"python -m proxyclip.tiny.training.pretrain {name} --out {runs}"
        raise FileNotFoundError(f"no trained weights at {source}; run {command}")
    target, manifest = folder / source.name, folder / models.MANIFEST.name
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    record = training_record(name, runs)
    if record.get("started_from") and record["started_from"] == entries.get(name, {}).get("sha256"):
        record = continued(record, json.loads((folder / f"{name}.json").read_text()))
    with replacing(target) as path:
        shutil.copyfile(source, path)
    write_text(folder / f"{name}.json", json.dumps(record, indent=1) + "\n")
    entries[name] = {"sha256": models.sha256(target), "bytes": target.stat().st_size}
    write_text(manifest, json.dumps(dict(sorted(entries.items())), indent=1) + "\n")
    return target


def main(
    runs: Annotated[Path, typer.Argument(help="folder of the trainings")],
    names: Annotated[list[str] | None, typer.Argument(help="models; all that were trained by default")] = None,
) -> None:
    """Ship trained models with the package."""
    for name in names or [n for n in models.MODELS if (runs / f"{n}.safetensors").exists()]:
        path = ship_weights(name, runs)
        typer.echo(f"{path.name}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    typer.run(main)
