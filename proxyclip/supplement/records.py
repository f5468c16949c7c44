"""What a chapter saves: tidy records, the verdicts on its claims, and where the numbers come from.

A number is a :class:`Record`: one value with everything that identifies it. The supplement's own numbers have the
same form (:mod:`proxyclip.supplement.paper`), so that one function judges a claim on both.

Examples
--------
>>> from proxyclip.supplement import records as results
>>> from proxyclip.supplement.claims import ledger as claims
>>> records = [
...     results.Record("E", "tiny", "miou", 31.0, "%", "tiny/voc",
...                    vfm="tiny_sam", rule="adaptive:1.2,3", n=32),
...     results.Record("E", "tiny", "miou", 27.5, "%", "tiny/voc", rule="qq", n=32),
... ]
>>> verdicts = claims.judge(records, section="E")
>>> verdicts["E3"].status
'not run'

``results.save`` writes the file and ``results.load`` reads it back;
:class:`proxyclip.supplement.experiment.Experiment` does all of this for a notebook.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from proxyclip.rules import ClipAttention
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.display_names import family_of, labels_of, method_of, stand_ins
from proxyclip.system.atomic import write_text

#: Raised when the form of the files changes.
SCHEMA = 2

#: Where a number comes from: printed in the paper, measured with the shipped models or with the published weights, or
#: counted on a full-size architecture without weights.
SOURCES: tuple[str, ...] = ("published", "tiny", "paper", "architecture")

Status = Literal["holds", "does not hold", "not run"]


@dataclass(frozen=True)
class Record:
    """One number.

    Parameters
    ----------
    section : str
        Letter of the supplement's section.
    profile : {"published", "tiny", "paper", "architecture"}
    metric : str
        For example ``"miou"``, ``"params"``, ``"boundary_iou"``.
    value : float
        Finite.
    unit : str
        ``"%"``, ``"M"`` (2^20), ``"G"`` (10^9), ``"images/s"``, ``"MiB"``, or ``""`` for a pure number.
    dataset : str
        Name for :func:`proxyclip.dataset`; ``"average"`` for a printed average; empty where none is involved.
    vfm : str
        Registry name; in published records the family as printed; empty for what reads CLIP alone.
    rule : str
        ``rule.name``; empty for methods that are not rules of this package.
    method : str
        Name in tables and figures; derived from the rule when left out.
    setting : str
        What else distinguishes two records, in a few words.
    beta, gamma, alpha : float or None
        Of the masking rule, None for what it does not have. Where the rule is one of this package, they are its own.
    refinement : str
        How the masks were refined, ``"pamr"``; empty where they were not.
    over : str
        Of a paired difference: the name of the score that is subtracted, as the evaluation has it.
    time_step : int or None
        Of the diffusion model whose features were read.
    n : int or None
        Number of images.
    seed : int or None
    error : float or None
        Standard error of the value over the images (bootstrap), in its unit.

    Raises
    ------
    ValueError
        If the value is not finite or the profile is unknown.
    """

    section: str
    profile: str
    metric: str
    value: float
    unit: str = ""
    dataset: str = ""
    vfm: str = ""
    rule: str = ""
    method: str = ""
    setting: str = ""
    beta: float | None = None
    gamma: float | None = None
    alpha: float | None = None
    refinement: str = ""
    over: str = ""
    time_step: int | None = None
    n: int | None = None
    seed: int | None = None
    error: float | None = None

    def __post_init__(self) -> None:
        if self.profile not in SOURCES:
            raise ValueError(f"profile of a record must be one of {', '.join(SOURCES)}, got {self.profile!r}")
        if not math.isfinite(self.value):
            raise ValueError(f"a record's value must be finite, got {self.value} for {self.metric} of {self.rule!r}")
        object.__setattr__(self, "value", float(self.value))
        if self.error is not None and not math.isfinite(self.error):
            object.__setattr__(self, "error", None)  # a single image has no spread
        if not self.method and self.rule:
            object.__setattr__(self, "method", method_of(self.rule))
        for name, value in _rule_parameters(self.rule).items():
            object.__setattr__(self, name, value)

    def key(self) -> tuple[object, ...]:
        """Everything but the value and its error: what the number is."""
        return tuple(getattr(self, item.name) for item in fields(self) if item.name not in ("value", "error"))


@dataclass(frozen=True)
class Verdict:
    """What the records say about a claim.

    Parameters
    ----------
    claim : str
        Id, for example ``"E3"``.
    status : {"holds", "does not hold", "not run"}
    figures : str
        One sentence with the figures, or with the reason why there are none.
    vfm : str
        The foundation model that the verdict is about; empty where it is about none, or about several together.
    """

    claim: str
    status: Status
    figures: str
    vfm: str = ""


@dataclass(frozen=True)
class Result:
    """Everything a chapter saves.

    Parameters
    ----------
    section : str
    profile : str
    records : list of Record
    verdicts : list of Verdict
    provenance : dict
        JSON values: versions, device, seed, weights' SHA-256, parameters, wall time.
    checks : list of Verdict
        Our own checks, which the supplement does not ask for.
    """

    section: str
    profile: str
    records: list[Record]
    verdicts: list[Verdict]
    provenance: dict[str, Any] = field(default_factory=dict)
    checks: list[Verdict] = field(default_factory=list)


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Records as a frame, one row each.

    Returns
    -------
    pandas.DataFrame
        The fields of :class:`Record` (NaN where a rule has no such parameter) and: family and label (of the VFM) and
        stands_for (the benchmark that a generated set corresponds to; otherwise the dataset itself).
    """
    frame = pd.DataFrame(map(asdict, records), columns=[item.name for item in fields(Record)])
    frame["family"] = [family_of(vfm) for vfm in frame["vfm"]]
    frame["label"] = frame["vfm"].map(labels_of(frame["vfm"]))
    numbers = ["beta", "gamma", "alpha", "time_step"]
    frame[numbers] = frame[numbers].astype(float)
    imitated = stand_ins() if any(name.startswith("tiny/") for name in frame["dataset"]) else {}
    frame["stands_for"] = [imitated.get(name, name) for name in frame["dataset"]]
    return frame


@cache
def _rule_parameters(name: str) -> dict[str, float | None]:
    """Beta, gamma and alpha of the rule with a name, None for what it does not have; empty without a rule."""
    try:
        rule: object = parse_rule(name)
    except ValueError:
        return {}
    masking = rule.masking if isinstance(rule, ClipAttention) else rule
    return {key: getattr(masking, key, None) for key in ("beta", "gamma", "alpha")}


# --------------------------------------------------------------------------------------------------------------- files


def save(path: str | Path, result: Result) -> Path:
    """Write a result as JSON, completely or not at all.

    Raises
    ------
    ValueError
        If there are two values for one thing: a reader could not tell which of them counts.
    """
    seen: set[tuple[object, ...]] = set()
    for record in result.records:
        if record.key() in seen:
            raise ValueError(f"section {result.section} has two values for {record}")
        seen.add(record.key())
    content = {
        "schema": SCHEMA,
        "section": result.section,
        "profile": result.profile,
        "records": [{name: value for name, value in asdict(record).items() if value not in ("", None)}
                    for record in result.records],
        "claims": [asdict(verdict) for verdict in result.verdicts],
        "checks": [asdict(verdict) for verdict in result.checks],
        "provenance": result.provenance,
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    return Path(path)


def load(path: str | Path) -> Result:
    """Read what :func:`save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a chapter's result, or of another version of this package.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["schema"] not in (1, SCHEMA):
            raise ValueError(f"its schema is {content['schema']}, this version reads 1 and {SCHEMA}")
        return Result(
            content["section"], content["profile"], [Record(**_with_fields(entry)) for entry in content["records"]],
            _verdicts(content["claims"]), content["provenance"],
            _verdicts(content.get("checks", [])),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a result of a chapter: {error}") from error


def _verdicts(entries: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """Verdicts as saved; earlier versions wrote a reason too."""
    return [Verdict(**{name: value for name, value in entry.items() if name != "reason"}) for entry in entries]


#: What the first schema wrote into the setting, and has a field now.
IN_WORDS = re.compile(r"(?:, )?with PAMR(?: \((?P<other>[^)]+)\))?$|^t = (?P<step>\d+)$")


def _with_fields(entry: dict[str, Any]) -> dict[str, Any]:
    """A record of either schema in the fields of this one."""
    setting = entry.get("setting", "")
    if (found := IN_WORDS.search(setting)) is None:
        return entry
    field_of = {"time_step": int(found["step"])} if found["step"] else {"refinement": found["other"] or "pamr"}
    return {**entry, "setting": setting[: found.start()], **field_of}


def load_all(folder: str | Path, section: str | None = None) -> dict[str, Result]:
    """Read the results of other runs, by name and section.

    They lie in ``folder/<name>/<section>.json``, or ``<section>_<words>.json`` (``C_efficiency.json``).

    Parameters
    ----------
    folder : path
        For example ``results/``, which holds a folder per profile or device. A missing folder counts as empty.
    section : str, optional
        Only this one.

    Returns
    -------
    dict of str to Result
        Keys such as ``"h100/B"``, sorted.
    """
    letter = section or "[A-Z]"
    found = sorted(path for form in (f"*/{letter}.json", f"*/{letter}_*.json") for path in Path(folder).glob(form))
    return {f"{path.parent.name}/{path.stem[0]}": load(path) for path in found}
