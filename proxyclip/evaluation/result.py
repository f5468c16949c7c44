"""The result of an evaluation: scores per rule and per class, skipped samples, and the settings."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from proxyclip.data.base import Dataset
from proxyclip.data.protocol_card import CardReference, card_of
from proxyclip.evaluation.metrics import Scores
from proxyclip.evaluation.progress import Skipped, Tally
from proxyclip.evaluation.spread import ImageCounts, standard_errors
from proxyclip.inference.pamr import PAMR
from proxyclip.rules import Rule, parse_rule
from proxyclip.segment import ProxyCLIP
from proxyclip.system.atomic import replacing
from proxyclip.system.own_files import Damaged, typed, unsealed_json, without_nan, write_json
from proxyclip.system.provenance import digest_of_method, digest_of_weights, versions


@dataclass(frozen=True)
class Row:
    """What a row of an evaluation was scored with; its text is the row's name."""

    rule: Rule
    refinement: str = ""  #: Name of the refinement of its masks; empty where they are as they were.

    @classmethod
    def named(cls, name: str) -> Row:
        """Read a row from its name, such as ``"adaptive + pamr"``; raises ``ValueError`` if its rule is none."""
        rule, _, refinement = name.partition(" + ")
        return cls(parse_rule(rule), refinement)

    def __str__(self) -> str:
        return " + ".join(filter(None, (self.rule.name, self.refinement)))


def rows_of(rules: Sequence[Rule], refine: PAMR | None) -> list[Row]:
    """The rows of an evaluation: the rules and, where masks are refined, each of them again with PAMR."""
    return [Row(rule, how) for how in ["", *([refine.name] if refine else [])] for rule in rules]


@dataclass(frozen=True)
class Evaluation:
    """The result of a pass over a set."""

    rows: Sequence[Row | str]  #: What each row was scored with; of labels that come from files, their name.
    classes: list[str]  #: Names of the classes.
    tally: Tally  #: Counts of each rule, and the skipped samples.
    settings: dict[str, Any]  #: Everything that determines the counts, as JSON values.
    notes: list[str]  #: What a reader should know about the set.
    ids: list[str]  #: Names of the set's samples, by index.
    seconds: float  #: Wall time of this call; an interrupted and continued evaluation counts its last part.

    @classmethod
    def of(
        cls, rows: Sequence[Row | str], data: Dataset, tally: Tally, settings: dict[str, Any], seconds: float
    ) -> Evaluation:
        """The result of what was counted on a set."""
        ids = [data.sample_id(index) for index in range(len(data))]
        return cls(rows, list(data.vocabulary.names), tally, settings, data.notes(), ids, seconds)

    @property
    def rules(self) -> list[str]:
        """Names of the rows: those of the rules and, where masks were refined, ``"adaptive:1.2,3 + pamr"``."""
        return list(map(str, self.rows))

    @property
    def images(self) -> int:
        """Number of images counted."""
        return len(self.tally.done) - len(self.tally.skipped)

    def scores(self) -> dict[str, Scores]:
        """Return the scores of each rule."""
        confusions = self.tally.confusions
        return {rule: confusion.compute() for rule, confusion in zip(self.rules, confusions, strict=True)}

    def frame(self) -> pd.DataFrame:
        """Return one row per rule: rule, miou, macc, aacc (per cent), images.

        ``frame.attrs`` has ``skipped`` (a list of dicts: id, file, reason), ``notes`` (sentences), ``geometry`` (the
        rows of :meth:`geometry` as dicts) and ``standard_errors`` (:meth:`standard_errors`).
        """
        frame = pd.DataFrame([{"rule": rule, "miou": s.miou, "macc": s.macc, "aacc": s.aacc, "images": self.images}
                              for rule, s in self.scores().items()])
        frame.attrs = {"skipped": [asdict(entry) for entry in self.tally.skipped], "notes": list(self.notes),
                       "geometry": self.geometry().to_dict("records"), "standard_errors": self.standard_errors()}
        return frame

    def geometry(self) -> pd.DataFrame:
        """Return the threshold and the share kept by each masking rule (:meth:`Geometry.compute`)."""
        return self.tally.geometry.compute()

    def standard_errors(self) -> dict[str, float]:
        """Return the bootstrap standard error of each rule's mIoU over the images, in points; NaN for one image."""
        table = self.tally.images.table(len(self.rules), len(self.classes))
        return dict(zip(self.rules, standard_errors(table).tolist(), strict=True))

    def per_class(self) -> pd.DataFrame:
        """Return one row per rule and class: rule, class_id, class, iou, acc (per cent), pixels."""
        return pd.DataFrame([
            {"rule": rule, "class_id": number, "class": name, "iou": s.iou[number], "acc": s.acc[number],
             "pixels": int(s.pixels[number])}
            for rule, s in self.scores().items() for number, name in enumerate(self.classes)])

    def save(self, path: str | Path) -> None:
        """Write everything to a JSON file with a checksum, atomically. A class that does not occur has ``null`` scores.

        The counts of every image go to ``NAME.counts.npz`` beside it, which :func:`proxyclip.compare` reads.
        """
        counts = self._image_counts()
        record = {
            "dataset": self.settings["dataset"]["name"],
            "card": self.settings["card"],
            "scores": self.frame().to_dict("records"),
            "standard_errors": self.standard_errors(),
            "geometry": self.geometry().to_dict("records"),
            "per_class": self.per_class().to_dict("records"),
            "skipped": [asdict(entry) for entry in self.tally.skipped],
            "notes": self.notes,
            "seconds": self.seconds,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "counts_sha256": _digest(counts),
            "settings": self.settings,
        }
        with replacing(counts_beside(path)) as partial:
            partial.write_bytes(counts)
        write_json(path, without_nan(record))

    def _image_counts(self) -> bytes:
        """The counts of every image as a compressed npz archive; they take few bytes where few classes occur."""
        arrays = {name: array.astype(np.uint32) for name, array in self.tally.images.arrays().items()}
        names = json.dumps({"rules": self.rules, "classes": self.classes, "ids": self.ids})
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, names=np.frombuffer(names.encode(), np.uint8), **arrays)
        return file.getvalue()


def counts_beside(path: str | Path) -> Path:
    """The file with the counts of every image that belongs to a result."""
    return Path(path).with_suffix(".counts.npz")


@dataclass(frozen=True)
class _Named:
    """A model or a set in the settings."""

    name: str


@dataclass(frozen=True)
class _Settings:
    dataset: _Named
    card: CardReference
    clip: _Named | None = None
    vfm: _Named | None = None


@dataclass(frozen=True)
class _ScoreRow:
    rule: str
    images: int
    miou: float | None
    macc: float | None
    aacc: float | None


@dataclass(frozen=True)
class _ClassRow:
    rule: str
    class_id: int
    name: Annotated[str, Field(alias="class")]
    iou: float | None
    acc: float | None
    pixels: int


@dataclass(frozen=True)
class _GeometryRow:
    rule: str
    mean_similarity: float
    threshold: float
    kept: float
    rows_alone: float
    windows: int


@dataclass(frozen=True)
class _ResultFile:
    """What :meth:`Evaluation.save` writes, as far as anything reads it."""

    dataset: str
    card: CardReference
    scores: list[_ScoreRow]
    standard_errors: dict[str, float | None]
    geometry: list[_GeometryRow]
    per_class: list[_ClassRow]
    skipped: list[Skipped]
    notes: list[str]
    seconds: float
    date: str
    versions: dict[str, str | None]
    counts_sha256: str
    settings: _Settings

    def __post_init__(self) -> None:
        if missing := {row.rule for row in self.scores} - self.standard_errors.keys():
            raise ValueError(f"standard_errors has no {', '.join(sorted(missing))}")


def read_result(path: str | Path) -> dict[str, Any]:
    """Read the file of an evaluation; ``ValueError`` if it was changed or a field has another type than it is written
    with.
    """
    try:
        record = unsealed_json(Path(path).read_bytes())
        typed(_ResultFile, record)
    except Damaged as error:
        raise ValueError(f"{path} is not a result of an evaluation: {error}") from error
    return record


@dataclass(frozen=True)
class Names:
    """Names of the rules, of the classes, and of the set's samples by index."""

    rules: list[str]
    classes: list[str]
    ids: list[str]


def read_counts(path: str | Path) -> tuple[Names, ImageCounts]:
    """Read the counts of every image that belong to the result ``path``; ``ValueError`` if they do not."""
    beside = counts_beside(path)
    content = beside.read_bytes()
    if _digest(content) != read_result(path)["counts_sha256"]:
        raise ValueError(f"{beside} does not hold the counts of {path}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            wide = {name: arrays[name].astype(np.int64) for name in arrays.files if name != "names"}
            names = typed(Names, json.loads(arrays["names"].tobytes()))
        images = ImageCounts.from_arrays(wide)
        images.table(len(names.rules), len(names.classes))  # every cell is one of them
        if not set(images.counts) <= set(range(len(names.ids))):
            raise ValueError(f"it counts images beyond the {len(names.ids)} that it names")
        return names, images
    except Exception as error:
        raise ValueError(f"{beside} does not hold counts: {error}") from error


#: Raise this with every change of the method or of its counts that moves a number.
METHOD_VERSION = 4


def settings_of(
    model: ProxyCLIP, data: Dataset, rules: Sequence[Rule], on_error: str, refine: PAMR | None = None
) -> dict[str, Any]:
    """Describe an evaluation in JSON values such that equal descriptions mean equal counts.

    The model is under the protocol of ``data`` (:func:`proxyclip.evaluation.evaluator.under_protocol`).
    """
    vfm, templates = model.vfm, [template("{}") for template in model.clip.templates]
    return {
        "method": METHOD_VERSION,
        "code": digest_of_method(),
        "torch": torch.__version__,
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
        "clip": {"name": model.clip.name, "weights": digest_of_weights(model.clip.model)},
        "vfm": None if vfm is None else {
            "name": vfm.name, "weights": digest_of_weights(vfm), **_options(vfm.backbone), **_options(vfm)},
        "templates": _digest(json.dumps(templates).encode()),
        "dataset": data.signature(),
        "vocabulary": _digest("\n".join(data.vocabulary.plain()).encode()),
        "card": card_of(data).reference(),
        "protocol": {**asdict(data.protocol), "pad_multiple": model.pad_multiple},
        "rules": [rule.name for rule in rules],
        "images": len(data),
        "on_error": on_error,
        **({} if refine is None else {"refine": refine.name}),
    }


def _options(backbone: torch.nn.Module) -> dict[str, Any]:
    """What the weights do not determine: how Stable Diffusion is read, and a changed geometry."""
    names = ("block", "timestep", "multiple", "seed", "base", "individual")
    return {name: value for name in names if isinstance(value := getattr(backbone, name, None), int | float | str)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
