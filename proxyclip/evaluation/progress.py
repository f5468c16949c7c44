"""Counts of an unfinished evaluation, in parts that can be saved, sent to another process and added up."""

from __future__ import annotations

import errno
import io
import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from proxyclip.evaluation.geometry import Geometry
from proxyclip.evaluation.metrics import Confusion, Pairs
from proxyclip.evaluation.spread import ImageCounts
from proxyclip.system.own_files import digest_of_json, read_own, unseal, unsealed_json, write_json, write_sealed


@dataclass(frozen=True)
class Skipped:
    """A sample that was left out, and why."""

    id: str
    file: str
    reason: str


@dataclass(frozen=True)
class ImageTally:
    """Everything that is counted on one image, under all rules."""

    index: int  #: Of the image in its set.
    pairs: Sequence[Pairs] = ()  #: One per rule; empty for an image that was left out.
    geometry: Geometry = field(default_factory=Geometry)
    skipped: Skipped | None = None  #: Why the image was left out.


@dataclass
class Tally:
    """Counts of one part of a set, for several rules."""

    confusions: list[Confusion]  #: One per rule.
    done: set[int] = field(default_factory=set)  #: Indices of the samples that are counted or skipped.
    skipped: list[Skipped] = field(default_factory=list)
    geometry: Geometry = field(default_factory=Geometry)  #: What the masking rules leave of the similarities.
    #: The counts of every image, for the spread of the scores.
    images: ImageCounts = field(default_factory=ImageCounts)

    @classmethod
    def empty(cls, rules: int, classes: int, void: bool = False) -> Tally:
        """An empty tally for this number of rules and classes; ``void`` as for :class:`Confusion`."""
        return cls([Confusion(classes, void=void) for _ in range(rules)])

    def add(self, image: ImageTally) -> None:
        """Add one image; raises ``ValueError`` when it is in the tally already."""
        if image.index in self.done:
            raise ValueError(f"sample number {image.index} is counted twice")
        self.done.add(image.index)
        if image.skipped is not None:
            self.skipped.append(image.skipped)
            return
        for confusion, pairs in zip(self.confusions, image.pairs, strict=True):
            confusion.add(pairs)
        classes = self.confusions[0].classes
        self.images.add(image.index, np.stack([pairs.areas(classes) for pairs in image.pairs]))
        self.geometry.merge(image.geometry)

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
        geometry = json.dumps({name: counts.tolist() for name, counts in self.geometry.counts.items()})
        arrays["geometry"] = np.frombuffer(geometry.encode(), np.uint8)
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays, **self.images.arrays())
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, rules: int, classes: int, void: bool = False) -> Tally:
        """Read a tally of this number of rules and classes back from :meth:`to_bytes`."""
        tally = cls.empty(rules, classes, void)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            for number, confusion in enumerate(tally.confusions):
                confusion.add(Pairs(arrays[f"cells_{number}"], arrays[f"counts_{number}"]))
            tally.done = {int(index) for index in arrays["done"]}
            tally.skipped = [Skipped(**entry) for entry in json.loads(arrays["skipped"].tobytes())]
            geometry = json.loads(arrays["geometry"].tobytes())
            tally.geometry = Geometry({name: np.array(counts, np.int64) for name, counts in geometry.items()})
            tally.images = ImageCounts.from_arrays(arrays)
        return tally


class Part:
    """The counts of one process, of which an interruption never leaves half an image.

    An image is made apart and enters with one step of the interpreter, and adding images up makes a new tally, which
    replaces the old one in one step: signals come before such a step or after it.
    """

    def __init__(self, rules: int, classes: int, void: bool = False) -> None:
        self.shape = rules, classes, void
        self._state: tuple[Tally, list[ImageTally]] = Tally.empty(*self.shape), []

    def add(self, image: ImageTally) -> None:
        """Add one image."""
        self._state[1].append(image)

    def tally(self) -> Tally:
        """Return the counts of all images so far."""
        before, images = self._state
        if images:
            total = merged([before], *self.shape)
            for image in images:
                total.add(image)
            self._state = total, []
        return self._state[0]


class Progress:
    """A folder of saved tallies, one file per process that has worked on the evaluation.

    Each combination of settings (everything that changes the result, as JSON values) has a folder of its own, named by
    their hash. In a ``shared`` folder, which also holds other evaluations, other settings are not reported as a change.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], shared: bool = False) -> None:
        self.shared = shared
        self.settings = json.loads(json.dumps(settings))
        self.key = digest_of_json(self.settings)[:16]
        self.root, self.folder = Path(folder), Path(folder) / self.key
        self.path = self.folder / f"part-{uuid.uuid4().hex}.npz"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs of the same evaluation out of this folder; ``ValueError`` when one holds it."""
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / f"{self.key}.lock", timeout=0):
                yield
        except Timeout:
            raise ValueError(f"{self.folder}: another run is working on this evaluation") from None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise ValueError(f"{self.root / self.key}.lock is a symbolic link, which a lock does not follow; remove it"
                             ) from None

    def changes(self) -> str | None:
        """Return a sentence about settings that differ from those of earlier progress; None without a difference."""
        if self.shared or self.folder.is_dir():
            return None
        for other in sorted(self.root.glob("*/settings.json")):
            earlier = read_own(other, unsealed_json, "its counts belong to other settings and are not used")
            if earlier is None:
                continue
            names = sorted(earlier.keys() | self.settings.keys())
            changed = [name for name in names if earlier.get(name) != self.settings.get(name)]
            return (f"progress in {other.parent} was made with other settings ({', '.join(changed)}); "
                    "starting again")
        return None

    def load(self, rules: int, classes: int, void: bool = False) -> dict[str, Tally]:
        """Read every saved tally of these settings, by file name; a damaged one is set aside."""
        found: dict[str, Tally] = {}
        for path in sorted(self.folder.glob("part-*.npz")):
            part = read_own(path, lambda stored: Tally.from_bytes(unseal(stored), rules, classes, void),
                            "its images are measured again")
            if part is not None:
                found[path.name] = part
        return found

    def save(self, tally: Tally) -> None:
        """Write this process's tally; the previous one stays until the new one is complete."""
        described = self.folder / "settings.json"
        if not described.exists():
            write_json(described, self.settings)
        write_sealed(self.path, tally.to_bytes())

    def remove(self) -> None:
        """Delete the progress of these settings once the result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # another run waits for the lock, or Windows has it open
            (self.root / f"{self.key}.lock").unlink(missing_ok=True)
            if not any(self.root.iterdir()):
                self.root.rmdir()


def merged(tallies: Iterable[Tally], rules: int, classes: int, void: bool = False) -> Tally:
    """Add tallies up."""
    total = Tally.empty(rules, classes, void)
    for tally in tallies:
        total.merge(tally)
    return total
