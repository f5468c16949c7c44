"""Protocol cards: everything besides the models that affects an mIoU, spelled out, versioned and hashed.

Two numbers can be compared when their cards are the same. The card of a set is made from what the package evaluates
(:class:`proxyclip.data.base.Protocol`, the row of the benchmark, the class list), so it is also right for a changed
evaluation. A version is frozen: a test fails when a published card changes under the same version.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from proxyclip.data.base import Dataset, Protocol
from proxyclip.data.benchmarks import BENCHMARKS, VARIANTS, Benchmark, benchmark_row
from proxyclip.data.vocab import load
from proxyclip.inference.labels import LOGIT_SCALE
from proxyclip.rules import Adaptive, Vanilla
from proxyclip.system.own_files import digest_of_json, shipped
from proxyclip.text import Vocabulary

#: What the cards say in words, by the kind of set; read from ``protocol_card.toml``.
_TEXTS = shipped(Path(__file__).with_suffix(".toml"), dict[str, dict[str, str]])


@dataclass(frozen=True)
class CardReference:
    """A card as result files carry it: its name and its hash."""

    name: str
    sha256: str


@dataclass(frozen=True)
class ProtocolCard:
    """One benchmark's protocol, in the order in which an image passes through it."""

    #: ``"voc21@1"``: the set and the version of its card; ``"voc21@1, changed: stride"`` where an evaluation differs.
    name: str
    #: How a file becomes the working image.
    image_reader: str
    exif: str
    resize_rule: str
    rounding: str
    short_side: int | None
    long_side: int
    #: The sliding windows.
    crop: int
    stride: int
    padding: str
    overlap: str
    #: What the two models see.
    normalisation: str
    positions: str
    #: The words; ``background`` lists those that stand for class 0, empty where the set has no background.
    prompts: str
    classes: int
    queries: int
    background: tuple[str, ...]
    class_list_sha256: str
    #: From cosines to probabilities.
    logit_scale: float
    order: str
    thresholds: dict[str, dict[str, Any]]  #: Method -> threshold (or None) and its source.
    #: The labels.
    ignored: str
    conversion: str
    remark: str
    #: The score.
    metric: str
    absent_classes: str

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON values."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def sha256(self) -> str:
        """Hash of everything but the name: equal hashes mean equal protocols."""
        content = self.as_dict()
        del content["name"]
        return digest_of_json(content)

    def reference(self) -> dict[str, str]:
        """Name and hash, as result files carry them (:class:`CardReference`)."""
        return {"name": self.name, "sha256": self.sha256}

    def lines(self) -> Iterator[tuple[str, str]]:
        """The card in words: pairs of an entry's name and its value."""
        for field in fields(self):
            value = getattr(self, field.name)
            name = field.name.replace("_", " ")
            if field.name == "thresholds":
                for method, entry in value.items():
                    threshold = "none" if entry["value"] is None else f"{entry['value']:g}"
                    yield f"threshold, {method}", f"{threshold} ({entry['source']})"
            elif field.name == "background":
                yield name, "; ".join(value) or "the set has no background class"
            else:
                yield name, "the image's own" if value is None else str(value) or "–"
        yield "sha256", self.sha256


def card_of(data: Dataset) -> ProtocolCard:
    """The card of a set as it would be evaluated now, with all changes of its protocol and vocabulary.

    The card's name says which fields differ from the published card of the set.
    """
    row = benchmark_row(data.name)
    title = row.title if row is not None else f"{data.name}@1"
    if data.name.startswith("tiny/"):
        # Imported here: the generated world brings drawing code that the benchmarks do not need.
        from proxyclip.data.generated import SceneDataset

        original = SceneDataset(data.name)
        standard = _card(original.name, None, original.protocol, original.vocabulary, title)
    elif row is not None:
        standard = published_card(data.name)
    else:
        return _card(data.name, getattr(data, "benchmark", None), data.protocol, data.vocabulary, data.name)
    card = _card(data.name, row, data.protocol, data.vocabulary, title)
    if row is not None and data.made_from not in ("", row.made_from):
        card = replace(card, remark=f"labels made from {data.made_from}")
    if card.sha256 == standard.sha256:
        return card
    changed = [field.name.replace("_", " ") for field in fields(card)
               if field.name != "name" and getattr(card, field.name) != getattr(standard, field.name)]
    return replace(card, name=f"{title}, changed: {', '.join(changed)}")


def published_card(name: str) -> ProtocolCard:
    """The card of a benchmark by its name, such as ``"voc21"``, ``"voc21@1"`` or ``"ade847@published"``."""
    row = benchmark_row(name)
    if row is None:
        raise ValueError(f"no protocol card {name!r}; there are {', '.join((*BENCHMARKS, *VARIANTS))}, also with the "
                         "version of the card, such as voc21@1")
    return _card(row.name, row, row.protocol, load(row.vocabulary), row.title)


def _card(
    data_name: str, row: Benchmark | None, protocol: Protocol, vocabulary: Vocabulary, title: str
) -> ProtocolCard:
    generated, plain = data_name.startswith("tiny/"), vocabulary.plain()
    texts: dict[str, Any] = {
        **_TEXTS["every set"], **_TEXTS["generated" if generated else "photographs"],
        **_TEXTS["kept size" if protocol.short_side is None else "resized"],
        **(_TEXTS["unknown files"] if row is None and not generated else {})}
    if row is not None:
        texts |= {"ignored": str(row.ignored), "conversion": "class = label"}
        if row.zero_ignored:
            texts |= {"ignored": f"0 and {row.ignored}", "conversion": "class = label - 1"}
        if row.counted_void is not None:
            texts["ignored"] += f"; void, stored as {row.counted_void}, is not: predictions there enlarge the unions"
    return ProtocolCard(
        name=title,
        short_side=protocol.short_side,
        long_side=protocol.long_side,
        crop=protocol.window,
        stride=protocol.stride,
        classes=len(vocabulary),
        queries=len(vocabulary.queries),
        background=tuple(plain[0].split("; ")) if protocol.prob_threshold is not None else (),
        class_list_sha256=hashlib.sha256("\n".join(plain).encode()).hexdigest(),
        logit_scale=LOGIT_SCALE,
        thresholds={method: _threshold(protocol, method, source, generated)
                    for method, source in _TEXTS["thresholds"].items()},
        remark="" if row is None else row.remark,
        **texts,
    )


def _threshold(protocol: Protocol, method: str, source: str, generated: bool) -> dict[str, Any]:
    value = protocol.threshold(Vanilla() if method == "vanilla" else Adaptive())
    if value is None:
        source = "no background class, so none"
    elif generated:
        source = "the generated set's own"
    elif method == "vanilla" and protocol.baseline_threshold is None:
        source = _TEXTS["thresholds"]["identity"]  # that of the methods without a published threshold
    return {"value": value, "source": source}
