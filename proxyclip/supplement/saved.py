"""What a chapter has measured so far, saved beside its result so that an interrupted run continues where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from proxyclip.supplement.records import Record
from proxyclip.system.atomic import write_text


class Saved:
    """The folder ``<output_dir>/<section>.progress`` of a chapter.

    Counts and tables are kept under the digest of the package's code. After a change of the package a chapter starts
    over, and when it finishes, the counts of older versions are removed.

    Parameters
    ----------
    output_dir : Path
    section : str
    code : str
        Digest of the package (:func:`proxyclip.system.provenance.digest_of_package`).
    """

    def __init__(self, output_dir: Path, section: str, code: str) -> None:
        self.root = Path(output_dir) / f"{section}.progress"
        self.folder = self.root / code[:16]

    @property
    def evaluations(self) -> Path:
        """Where evaluations keep their counts, as ``progress`` of :func:`proxyclip.evaluation.evaluator.run`."""
        return self.folder / "evaluations"

    def keep_records(self, records: Sequence[Record]) -> None:
        """Write the records so far to ``records.json``, so that none is lost if the chapter stops later."""
        text = json.dumps([asdict(record) for record in records], indent=1, ensure_ascii=False)
        write_text(self.root / "records.json", text + "\n")

    def once(self, name: str, settings: Mapping[str, Any], measure: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return a measured table, from the file if it was measured under the same settings before.

        Parameters
        ----------
        name : str
            What is measured; unique within the chapter.
        settings : mapping
            Everything that changes the table, as JSON values.
        measure : callable
            Gives the table.

        Returns
        -------
        pandas.DataFrame
            With the index, the columns and the ``attrs`` that ``measure`` gave; floats keep every bit.
        """
        described = json.dumps([name, settings], sort_keys=True, default=str)
        path = self.folder / "tables" / f"{hashlib.sha256(described.encode()).hexdigest()[:16]}.json"
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            frame = pd.DataFrame(kept["data"], kept["index"], kept["columns"])
            frame.attrs = kept["attrs"]
            return frame
        frame = measure()
        content = frame.to_dict("split") | {"attrs": frame.attrs, "name": name}
        write_text(path, json.dumps(content, default=lambda number: number.item()))  # NumPy's as Python's
        return frame

    def finished(self) -> None:
        """Remove the records, which the result holds too, and the counts of other versions of the package."""
        (self.root / "records.json").unlink(missing_ok=True)
        for other in self.root.glob("*"):
            if other != self.folder:
                shutil.rmtree(other, ignore_errors=True)
        if self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()
