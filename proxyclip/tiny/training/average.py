"""Average trainings that started from the same weights.

The command is ``python -m proxyclip.tiny.training.average NAME RUNS… --out RUNS``.

Networks trained further from one starting point stay in one valley of the loss, so the mean of their weights is a
network as well, often a better one than either (Wortsman et al. 2022, "Model soups").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file
from torch import Tensor

from proxyclip.system.atomic import replacing, write_text
from proxyclip.tiny.models import MODELS


def mean_of(weights: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of each tensor, taken in double precision.

    Parameters
    ----------
    weights : sequence of dict
        State dictionaries of one architecture.

    Returns
    -------
    dict
        Tensors of the names, shapes and dtypes of the first.

    Raises
    ------
    ValueError
        If the names or shapes of the tensors differ.
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

    Raises
    ------
    ValueError
        If the trainings did not go on from the same weights.
    """
    if not cards[0].get("started_from") or len({card.get("started_from") for card in cards}) > 1:
        raise ValueError("only trainings that went on from the same weights can be averaged; their cards say otherwise")
    totals = {key: round(sum(card[key] for card in cards), 1) for key in ("steps", "samples", "wall_minutes")}
    return {**cards[0], **totals, "runs": list(cards)}


def main(
    name: Annotated[str, typer.Argument(help="tiny_clip, tiny_sam, tiny_dino, …")],
    runs: Annotated[list[Path], typer.Argument(help="folders of the trainings, two or more")],
    out: Annotated[Path, typer.Option(help="folder for the mean and its card")],
) -> None:
    """Average the weights of several trainings of one model."""
    if name not in MODELS:
        raise typer.BadParameter(f"must be one of {', '.join(MODELS)}, got {name!r}")
    if len(runs) < 2:
        raise typer.BadParameter(f"an average takes two folders at least, got {len(runs)}")
    needed = [run / f"{name}.{kind}" for run in runs for kind in ("json", "safetensors")]
    if missing := [path for path in needed if not path.is_file()]:
        raise typer.BadParameter(f"{missing[0]} is missing; every folder must hold a finished training of {name}")
    try:
        card = card_of([json.loads((run / f"{name}.json").read_text()) for run in runs])
        mean = mean_of([load_file(run / f"{name}.safetensors") for run in runs])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / f"{name}.safetensors") as path:
        save_file(mean, path)
    write_text(out / f"{name}.json", json.dumps(card, indent=1) + "\n")
    typer.echo(out / f"{name}.safetensors")


if __name__ == "__main__":
    typer.run(main)
