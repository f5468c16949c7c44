"""What a chapter has measured so far, saved beside its result so that an interrupted run continues where it stopped."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from proxyclip.supplement.records import Record
from proxyclip.supplement.result_files import load
from proxyclip.system.atomic import write_text
from proxyclip.system.own_files import digest_of_json, read_own, unsealed_json, with_checksum, write_json


class Saved:
    """The folder ``<output_dir>/<section>.progress`` of a chapter.

    Counts, tables and records are kept under the digest of the code that measures them
    (:func:`proxyclip.system.provenance.digest_of_chapters`). After a change of that code a chapter starts over, and
    when it finishes, what older versions have left is removed. Runs with other parameters keep their records apart.
    """

    def __init__(self, output_dir: Path, section: str, code: str, parameters: Mapping[str, Any]) -> None:
        self.result = Path(output_dir) / f"{section}.json"
        self.root = Path(output_dir) / f"{section}.progress"
        self.folder = self.root / code[:16]
        self.records = self.folder / f"records-{digest_of_json(parameters)[:16]}.jsonl"
        # A folder that takes no file stops a chapter here, not after its measurements.
        write_text(self.records, "\n" + "".join(map(_line, self.earlier_records())))

    def keep(self, record: Record) -> None:
        """Append a record to the file, as a line with its checksum."""
        with self.records.open("a", encoding="utf-8") as file:
            file.write(_line(record))

    def earlier_records(self) -> list[Record]:
        """The records that are in the file; the last of those that were measured again after an interruption."""
        def parse(stored: bytes) -> list[Record]:
            kept = [Record(**unsealed_json(line)) for line in stored.splitlines() if line]
            return list({record.key(): record for record in kept}.values())

        return read_own(self.records, parse, "its records are made again") or []

    def once(self, name: str, settings: Mapping[str, Any], measure: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A measured table, from the file if it was measured under the same settings before, with every bit.

        ``name`` says what is measured and is unique within the chapter, with what a reader may change in its cell;
        ``settings`` is everything else that changes the table, as JSON values.
        """
        path = self.folder / "tables" / f"{digest_of_json([name, settings])[:16]}.json"
        kept = read_own(path, _table, "it is measured again")
        if kept is not None:
            return kept
        frame = measure()
        content = frame.to_dict("split") | {"name": name}
        write_json(path, json.loads(json.dumps(content, default=lambda number: number.item())))  # NumPy's as Python's
        return frame

    def was_finished(self, depends_on: Mapping[str, Any]) -> bool:
        """Whether the saved result comes from these parameters, sets, weights and code, given as JSON values."""
        try:
            earlier = load(self.result).provenance
        except (OSError, ValueError):
            return False
        # of the weights only those of the models so far are given; the finished run may have loaded more
        weights = depends_on["weights_sha256"].items() <= earlier.get("weights_sha256", {}).items()
        return weights and all(earlier.get(name) == value for name, value in depends_on.items()
                               if name != "weights_sha256")

    def finished(self) -> None:
        """Remove the records, which the result holds too, and what other versions of the code have left."""
        self.records.unlink(missing_ok=True)
        for other in self.root.glob("*"):
            if other != self.folder:
                shutil.rmtree(other, ignore_errors=True)
        for empty in (self.folder, self.root):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()


def _line(record: Record) -> str:
    return json.dumps(with_checksum(vars(record))) + "\n"


def _table(stored: bytes) -> pd.DataFrame:
    kept = unsealed_json(stored)
    return pd.DataFrame(kept["data"], kept["index"], kept["columns"])
