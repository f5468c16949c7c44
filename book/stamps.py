"""One rule for what is stale: a result is kept while the content of everything it was made from is the same."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from proxyclip.system.own_files import read_own, unsealed_json, what_it_does, write_json


def content_key(root: Path, files: Iterable[Path] = (), **values: Any) -> str:
    """SHA-256, hexadecimal, of files and JSON values that a result depends on.

    Of a Python module only what it does counts, so that comments, docstrings and layout can change; of every other file
    each byte counts. Names count from ``root``, and a folder stands for everything in it; the order in which a file
    system lists the files does not matter.
    """
    total = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    single = {path for given in files for path in (given.rglob("*") if given.is_dir() else [given])}
    for path in sorted(path for path in single if path.is_file() and "__pycache__" not in path.parts):
        of_file = _digest_of_file(path, path.stat().st_mtime_ns, path.stat().st_size)
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + of_file)
    return total.hexdigest()


@lru_cache(4096)
def _digest_of_file(path: Path, changed: int, size: int) -> bytes:
    """Of one file; read once as long as neither its time nor its size changes."""
    return hashlib.sha256(what_it_does(path)).digest()


@dataclass(frozen=True)
class Stamp:
    """The file that says from which inputs a result was made."""

    path: Path

    def fits(self, key: str) -> bool:
        """Whether the result was made from inputs with this key; not if a file is missing, damaged or was edited.

        Of JSON files, which hold results, the content counts.
        """
        kept = read_own(self.path, unsealed_json, "it is made again") or {}
        made = kept.get("made", {})
        return kept.get("key") == key and isinstance(made, dict) and all(
            Path(name).is_file() and digest in (None, _digest_of_result(Path(name))) for name, digest in made.items())

    def write(self, key: str, made: Iterable[Path] = ()) -> None:
        """Save the key of the inputs and the files that were made from them."""
        write_json(self.path, {"key": key, "made": {str(path.resolve()): _digest_of_result(path) for path in made}})

    def remove(self) -> None:
        """Forget the result, before it is made again."""
        self.path.unlink(missing_ok=True)


def _digest_of_result(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix == ".json" else None
