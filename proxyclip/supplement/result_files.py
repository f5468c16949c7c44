"""The files of chapters' results: one JSON object each, checked whole where it enters."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from proxyclip.data.protocol_card import CardReference
from proxyclip.supplement.records import Count, Record, Result, Verdict
from proxyclip.system.atomic import write_text
from proxyclip.system.own_files import typed, unsealed_json, with_checksum

#: Raised when the form of the files changes. Since 3 they carry a checksum.
SCHEMA = 3


def save(path: str | Path, result: Result) -> Path:
    """Write a result as JSON with a checksum, completely or not at all; there are no two values for one thing."""
    _check_unique(result)
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
    write_text(path, json.dumps(with_checksum(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    return Path(path)


def _check_unique(result: Result) -> None:
    seen: set[tuple[object, ...]] = set()
    for record in result.records:
        if record.key() in seen:
            raise ValueError(f"section {result.section} has two values for {record}")
        seen.add(record.key())


@dataclass(frozen=True)
class _Provenance:
    """What is read of a result's provenance; everything else in it is kept as it is."""

    cards: dict[str, CardReference] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str | None] = field(default_factory=dict)
    weights_sha256: dict[str, str | None] = field(default_factory=dict)
    machine: str = ""
    device: str = ""
    date: str = ""
    finished: str = ""
    code: str = ""
    seconds: Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)] | None = None
    limit: Count | None = None
    seed: Count | None = None


@dataclass(frozen=True)
class _File:
    """The form of a result's file."""

    section: Annotated[str, Field(pattern="^[A-Z]$")]
    profile: Literal["tiny", "paper"]
    records: list[Record]
    claims: list[Verdict]
    provenance: _Provenance
    checks: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        if other := {record.profile for record in self.records} - {self.profile, "architecture"}:
            raise ValueError(f"records of profile {', '.join(sorted(other))} in a result of profile {self.profile}")


def load(path: str | Path) -> Result:
    """Read what :func:`save` wrote, or an earlier version of it.

    ``ValueError`` names what is no chapter's result, of another version of this package, or changed after it was
    written, and a field that is missing or of another type.
    """
    try:
        content = json.loads(Path(path).read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        schema = content.get("schema")
        if isinstance(schema, bool) or schema not in (1, 2, SCHEMA):
            raise ValueError(f"its schema is {schema}, this version reads 1 to {SCHEMA}")
        if schema == SCHEMA:
            content = unsealed_json(Path(path).read_bytes())
        else:
            content |= {"records": [_with_fields(entry) for entry in content["records"]],
                        # without the reason that earlier versions wrote beside the figures
                        "claims": [{name: entry[name] for name in entry if name != "reason"}
                                   for entry in content["claims"]]}
        found = typed(_File, content)
        result = Result(found.section, found.profile, found.records, found.claims, content["provenance"], found.checks)
        _check_unique(result)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a result of a chapter: {error}") from error
    return result


#: What the first schema wrote into the setting, and has a field now.
IN_WORDS = re.compile(r"(?:, )?with PAMR(?: \((?P<other>[^)]+)\))?$|^t = (?P<step>\d+)$")


def _with_fields(entry: Any) -> Any:
    """A record of an earlier schema in the fields of this one."""
    setting = entry.get("setting", "") if isinstance(entry, dict) else ""
    if not isinstance(setting, str) or (found := IN_WORDS.search(setting)) is None:
        return entry
    field_of = {"time_step": int(found["step"])} if found["step"] else {"refinement": found["other"] or "pamr"}
    return {**entry, "setting": setting[: found.start()], **field_of}


def load_all(folder: str | Path, section: str | None = None) -> dict[str, dict[str, Result]]:
    """Read the results of other runs, or those of one section, by the run's name and by section, sorted.

    They lie in ``folder/<name>/<section>.json``, or ``<section>_<words>.json`` (``C_efficiency.json``), where the
    folder is for example ``results/``, which holds a folder per profile or device. A missing folder counts as empty.
    """
    letter = section or "[A-Z]"
    found = sorted(path for form in (f"*/{letter}.json", f"*/{letter}_*.json") for path in Path(folder).glob(form))
    runs: dict[str, dict[str, Result]] = {}
    for path in found:
        result = load(path)
        runs.setdefault(path.parent.name, {})[result.section] = result
    return runs
