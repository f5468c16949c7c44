"""``proxyclip compare``: differences between results, paired by image."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxyclip.system.atomic import write_text
from proxyclip.system.own_files import without_nan

if TYPE_CHECKING:
    import pandas as pd

    from proxyclip.evaluation.paired_comparison import Comparison


def compare(
    results: Annotated[
        list[str],
        typer.Argument(help="Results of proxyclip evaluate or score; FILE::RULE names one rule of a file.",
                       show_default=False),
    ],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown tables.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write everything to this file.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Also write a row per comparison.")] = None,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    count: Annotated[int, typer.Option(help="Classes and images to list, in each direction.")] = 10,
) -> None:
    """Say whether a difference of mIoU is real: a bootstrap over the images that two results share.

    The first result is what the others are compared with; a single one has its own rules compared.
    """
    from proxyclip.evaluation.paired_comparison import compare as paired, frame_of

    found = paired(*results, resamples=resamples, seed=seed)
    for comparison in found:
        print(_described(comparison, count, markdown))
        for note in comparison.notes:
            print(f"note: {note}", file=sys.stderr)
    if json_file is not None:
        content = [comparison.as_dict() for comparison in found]
        write_text(json_file, json.dumps(without_nan(content), indent=1, ensure_ascii=False) + "\n")
    if csv_file is not None:
        write_text(csv_file, frame_of(found).to_csv(index=False))


def _headline(comparison: Comparison) -> str:
    low, high = comparison.interval
    return (f"{comparison.second} - {comparison.first}: {comparison.difference:+.2f} ± {comparison.error:.2f} mIoU "
            f"({comparison.miou[0]:.2f} to {comparison.miou[1]:.2f}), 95 % [{low:+.2f}, {high:+.2f}], "
            f"p = {comparison.p:.3g}, {comparison.images} images")


def _described(comparison: Comparison, count: int, markdown: bool) -> str:
    """The headline, and tables of the classes and images that moved most."""
    frames = [frame for what in ("classes", "per_image") if len(frame := comparison.moved(what, count))]
    if markdown:
        parts = [f"**{_headline(comparison)}**", *map(_as_markdown, frames)]
    else:
        parts = [_headline(comparison), *(frame.to_string(index=False, float_format="%.2f") for frame in frames)]
    return "\n\n".join(parts) + "\n"


def _as_markdown(frame: pd.DataFrame) -> str:
    rows = [[str(value) if isinstance(value, str) else f"{value:.2f}" for value in row]
            for row in frame.itertuples(index=False)]
    cells = [list(frame.columns), ["---", *["---:"] * (len(frame.columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)
