"""``proxyclip score``, ``compare`` and ``results``: commands about scores that exist."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxyclip.cli.options import ClassList, DataFolder, Limit, Seed
from proxyclip.system.atomic import write_text
from proxyclip.system.own_files import without_nan

if TYPE_CHECKING:
    import pandas as pd

    from proxyclip.evaluation.paired_comparison import Comparison


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
    subject = open_dataset(dataset, data, vocabulary, seed=seed)
    found = scored(dict(zip(names, predictions, strict=True)), subject, limit, on_error=on_error, show=True)
    found.save(output)
    report(output, found)


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
    import pandas as pd

    from proxyclip.evaluation.paired_comparison import compare as paired

    found = paired(*results, resamples=resamples, seed=seed)
    for comparison in found:
        print(_described(comparison, count, markdown))
        for note in comparison.notes:
            print(f"note: {note}", file=sys.stderr)
    if json_file is not None:
        content = [comparison.as_dict() for comparison in found]
        write_text(json_file, json.dumps(without_nan(content), indent=1, ensure_ascii=False) + "\n")
    if csv_file is not None:
        write_text(csv_file, pd.DataFrame([comparison.row() for comparison in found]).to_csv(index=False))


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


#: Columns of the table.
COLUMNS = ("dataset", "card", "method", "clip", "vfm", "images", "miou", "error", "version", "torch", "date", "file")


def results(
    folder: Annotated[Path, typer.Argument(help="Folder to search, with all below it.")] = Path("results"),
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the table to this file.")] = None,
    append: Annotated[bool, typer.Option("--append", help="Keep the rows that the file has, too.")] = False,
) -> None:
    """List all results of proxyclip evaluate and of the chapters, one row for each rule."""
    import pandas as pd

    frame = results_table(folder)
    if frame.empty:
        raise ValueError(f"{folder}: no results below it")
    if csv_file is None:
        print(frame.drop(columns=["file", "torch"]).to_string(index=False, float_format="%.2f", na_rep="-"))
        return
    if append and csv_file.is_file():
        earlier = pd.read_csv(csv_file, keep_default_na=False, na_values={"miou": "", "error": ""})
        frame = _sorted(pd.concat([earlier, frame]).drop_duplicates(["dataset", "method", "vfm", "date", "file"],
                                                                    keep="last"))
    write_text(csv_file, frame.to_csv(index=False))
    print(csv_file)


def results_table(folder: Path) -> pd.DataFrame:
    """Rows of all results below a folder, with :data:`COLUMNS`; a file that cannot be used is named on stderr."""
    import pandas as pd

    rows = [row for path in sorted(folder.rglob("*.json")) for row in _rows(path, folder)]
    return _sorted(pd.DataFrame(rows, columns=list(COLUMNS)))


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["dataset", "card", "miou"], ascending=[True, True, False], ignore_index=True)


def _rows(path: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file: of an evaluation, or of a chapter; none of any other file."""
    from proxyclip.evaluation.result import read_result
    from proxyclip.supplement.result_files import load

    name = path.relative_to(folder).as_posix()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "settings" in content and "scores" in content:
            yield from _of_evaluation(read_result(path), name)
        elif isinstance(content, dict) and "records" in content and "schema" in content:
            yield from _of_chapter(load(path), name)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{path} is left out: {error}", file=sys.stderr)


def _of_evaluation(record: dict[str, Any], file: str) -> Iterator[dict[str, Any]]:
    settings, versions = record["settings"], record["versions"]
    for row in record["scores"]:
        yield {"dataset": record["dataset"], "card": record["card"]["name"], "method": row["rule"],
               "clip": (settings.get("clip") or {}).get("name", ""), "vfm": (settings.get("vfm") or {}).get("name", ""),
               "images": row["images"], "miou": row["miou"], "error": record["standard_errors"][row["rule"]],
               "version": versions["proxyclip"], "torch": versions["torch"], "date": record["date"], "file": file}


def _of_chapter(result: Any, file: str) -> Iterator[dict[str, Any]]:
    versions, cards = result.provenance.get("versions", {}), result.provenance.get("cards", {})
    for record in result.records:
        if record.metric == "miou":
            method = record.rule + (f", {record.setting}" if record.setting else "")
            yield {"dataset": record.dataset, "card": cards.get(record.dataset, {}).get("name", ""), "method": method,
                   "clip": result.provenance.get("parameters", {}).get("clip") or "", "vfm": record.vfm,
                   "images": record.n, "miou": record.value, "error": record.error,
                   "version": versions.get("proxyclip", ""), "torch": versions.get("torch", ""),
                   "date": result.provenance.get("date", ""), "file": file}
