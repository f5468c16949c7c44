"""``proxyclip score``: anybody's masks under a protocol card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxyclip.cli.options import ClassList, DataFolder, Limit, Seed


def score(
    predictions: Annotated[
        list[Path], typer.Option(help="Folder with ID.png of class ids for each image; several become several rows.")
    ],
    dataset: Annotated[str, typer.Option(help="Set whose labels and card are used.")],
    output: Annotated[Path, typer.Option(help="Result to write, a .json file.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Name of each folder in the result; by default the folder's.")
    ] = None,
    data: DataFolder = None,
    vocabulary: ClassList = None,
    limit: Limit = None,
    seed: Seed = None,
    on_error: Annotated[
        str, typer.Option(help="stop at an unusable image or label of the set, or skip and list it.")
    ] = "stop",
) -> None:
    """Score predictions that lie in files: another method's, another repository's, or --save-predictions'.

    The result has the form of proxyclip evaluate's, and proxyclip compare reads it.
    """
    from proxyclip.cli.evaluate_command import report
    from proxyclip.data.datasets import dataset as open_dataset
    from proxyclip.evaluation.predictions import score as scored

    names = name or [folder.name for folder in predictions]
    if len(names) != len(predictions) or len(set(names)) < len(names):
        raise ValueError(f"{len(predictions)} folders need as many different names, got {', '.join(names)}")
    if output.suffix != ".json":
        raise ValueError(f"output must end in .json, got {output}")
    subject = open_dataset(dataset, data, vocabulary, **({} if seed is None else {"seed": seed}))
    found = scored(dict(zip(names, predictions, strict=True)), subject, limit, on_error=on_error, show=True)
    found.save(output)
    report(output, found)
