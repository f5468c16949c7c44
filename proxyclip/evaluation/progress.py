"""Counts of an unfinished evaluation, in parts that can be saved, sent to another process and added up."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.metrics import Confusion
from proxyclip.evaluation.spread import ImageCounts
from proxyclip.system.atomic import replacing, write_text


@dataclass(frozen=True)
class Skipped:
    """A sample that was left out, and why."""

    id: str
    file: str
    reason: str


@dataclass
class Tally:
    """Counts of one part of a set, for several rules.

    Attributes
    ----------
    confusions : list of Confusion
        One per rule.
    done : set of int
        Indices of the samples that are counted or skipped.
    skipped : list of Skipped
    geometry : Geometry
        What the masking rules leave of the similarities.
    images : ImageCounts
        The counts of every image, for the spread of the scores.
    """

    confusions: list[Confusion]
    done: set[int] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    geometry: Geometry = field(default_factory=Geometry)
    images: ImageCounts = field(default_factory=ImageCounts)

    @classmethod
    def empty(cls, rules: int, classes: int, void: bool = False) -> Tally:
        """Return an empty tally for this number of rules and classes; ``void`` as for :class:`Confusion`."""
        return cls([Confusion(classes, void=void) for _ in range(rules)])

    def merge(self, other: Tally) -> None:
        """Add another part; raises ``ValueError`` when a sample is in both."""
        twice = self.done & other.done
        if twice:
            raise ValueError(f"{len(twice)} samples are counted twice, the first is number {min(twice)}")
        for mine, theirs in zip(self.confusions, other.confusions, strict=True):
            mine.merge(theirs)
        self.done |= other.done
        self.skipped += other.skipped
        self.geometry.merge(other.geometry)
        self.images.merge(other.images)

    def to_bytes(self) -> bytes:
        """Return the tally as an npz archive. Only pairs of classes that occur take space."""
        arrays: dict[str, np.ndarray] = {"done": np.array(sorted(self.done), np.int64)}
        for number, confusion in enumerate(self.confusions):
            cells = np.flatnonzero(confusion.counts)
            arrays[f"cells_{number}"] = cells
            arrays[f"counts_{number}"] = confusion.counts.ravel()[cells]
        skipped = json.dumps([asdict(entry) for entry in self.skipped])
        arrays["skipped"] = np.frombuffer(skipped.encode(), np.uint8)
        arrays["geometry"] = np.frombuffer(self.geometry.to_json().encode(), np.uint8)
        file = io.BytesIO()
        np.savez(file, **arrays, **self.images.arrays())
        return file.getvalue()

    @classmethod
    def read(cls, file: IO[bytes] | Path, rules: int, classes: int, void: bool = False) -> Tally:
        """Read a tally; raises ``ValueError`` with the name of the file when it belongs to other settings."""
        tally = cls.empty(rules, classes, void)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                for number, confusion in enumerate(tally.confusions):
                    confusion.counts.ravel()[arrays[f"cells_{number}"]] = arrays[f"counts_{number}"]
                tally.done = {int(index) for index in arrays["done"]}
                tally.skipped = [Skipped(**entry) for entry in json.loads(arrays["skipped"].tobytes())]
                tally.geometry = Geometry.from_json(arrays["geometry"].tobytes())
                tally.images = ImageCounts.from_arrays(arrays)
        except (OSError, KeyError, ValueError, IndexError, TypeError, BadZipFile) as error:
            raise ValueError(f"{file}: not a progress file of this evaluation ({error}); delete it") from error
        return tally


class Progress:
    """A folder of saved tallies, one file per process that has worked on the evaluation.

    Each combination of settings has its own folder, named by a hash of them, so that counts made under other settings
    are never mixed.

    Parameters
    ----------
    folder : Path
        Created when missing.
    settings : mapping
        Everything that changes the result, as JSON values.
    shared : bool
        Whether the folder also holds other evaluations, so that other settings in it are not reported as a change.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], shared: bool = False) -> None:
        self.shared = shared
        self.settings = json.loads(json.dumps(settings))
        self.key = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]
        self.root, self.folder = Path(folder), Path(folder) / self.key
        self.path = self.folder / f"part-{uuid.uuid4().hex}.npz"

    def lock(self) -> None:
        """Keep other runs of the same evaluation out of this folder until this process ends or is killed.

        Raises
        ------
        ValueError
            When another run holds it.
        """
        if fcntl is None:
            return
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.root / f"{self.key}.lock", "w")  # open as long as the run lasts
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.folder}: another run is working on this evaluation") from None
        except OSError:
            pass  # a file system without locks

    def changes(self) -> str | None:
        """Return a sentence about settings that differ from those of earlier progress; None without a difference."""
        if self.shared or self.folder.is_dir():
            return None
        for other in sorted(self.root.glob("*/settings.json")):
            earlier = json.loads(other.read_text(encoding="utf-8"))
            names = sorted(earlier.keys() | self.settings.keys())
            changed = [name for name in names if earlier.get(name) != self.settings.get(name)]
            return (f"progress in {other.parent} was made with other settings ({', '.join(changed)}); "
                    "starting again")
        return None

    def load(self, rules: int, classes: int, void: bool = False) -> dict[str, Tally]:
        """Read every saved tally of these settings, by file name."""
        paths = sorted(self.folder.glob("part-*.npz"))
        return {path.name: Tally.read(path, rules, classes, void) for path in paths}

    def save(self, tally: Tally) -> None:
        """Write this process's tally; the previous one stays until the new one is complete."""
        described = self.folder / "settings.json"
        if not described.exists():
            write_text(described, json.dumps(self.settings, indent=1))
        with replacing(self.path) as partial:
            partial.write_bytes(tally.to_bytes())

    def remove(self) -> None:
        """Delete the progress of these settings once the result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.root / f"{self.key}.lock").unlink(missing_ok=True)
        if self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()


def merged(tallies: Iterable[Tally], rules: int, classes: int, void: bool = False) -> Tally:
    """Add tallies up."""
    total = Tally.empty(rules, classes, void)
    for tally in tallies:
        total.merge(tally)
    return total
