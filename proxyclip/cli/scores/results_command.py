"""``proxyclip results``: every result below a folder in one table."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxyclip.system.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd

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
