"""The package's own files: its state, written with a checksum and set aside when damaged, and the tables it ships."""

from __future__ import annotations

import ast
import hashlib
import json
import reprlib
import tomllib
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from proxyclip.system.atomic import replacing, write_text

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Content = TypeVar("Content")

#: Where a JSON file keeps the digest of everything else in it.
CHECKSUM = "checksum"

#: Text field of a PNG of labels that says from what and with which settings it was made, as a digest.
KEY = "proxyclip:settings"


class Damaged(ValueError):
    """A file does not hold what was written to it."""


def write_sealed(path: str | Path, content: bytes) -> None:
    """Write bytes and their SHA-256 behind them, atomically."""
    with replacing(path) as partial:
        partial.write_bytes(content + hashlib.sha256(content).digest())


def unseal(stored: bytes) -> bytes:
    """Return what :func:`write_sealed` was given; :class:`Damaged` when the bytes do not fit their checksum."""
    content, digest = stored[:-32], stored[-32:]
    if hashlib.sha256(content).digest() != digest:
        raise Damaged(f"its {len(stored)} bytes do not fit their checksum")
    return content


def with_checksum(record: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with the digest of everything else in it."""
    return {**record, CHECKSUM: digest_of_json(record)}


def unsealed_json(stored: str | bytes) -> dict[str, Any]:
    """Read a JSON object that was written :func:`with_checksum`; :class:`Damaged` when it was changed, or has none."""
    try:
        record = json.loads(stored)
        digest = record.pop(CHECKSUM)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"not a JSON object with a checksum ({error})") from error
    if digest_of_json(record) != digest:
        raise Damaged("it does not fit its checksum, so it was changed after it was written")
    return record


def typed(kind: type[Content], record: object, closed: bool = False) -> Content:
    """A JSON value as an instance of a dataclass; :class:`Damaged` names a field that is missing or of another type.

    ``closed``, for a dictionary of dataclasses, refuses fields that they do not have.
    """
    from pydantic import ValidationError

    hashable: Any = kind
    try:
        return _adapter(hashable, closed).validate_json(json.dumps(record), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        raise Damaged(f"{at or 'its content'}: {first['msg']}, got {reprlib.repr(first['input'])}") from None


def shipped(path: Path, kind: type[Content]) -> Content:
    """A table that is installed with the package, a TOML file, as the type that its reader needs.

    ``ValueError`` names the file, and the value that is missing, unknown or of another type.
    """
    try:
        return typed(kind, tomllib.loads(path.read_text(encoding="utf-8")), closed=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not as it was installed: {error}") from error


@cache
def _adapter(kind: Any, closed: bool) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(kind, config=ConfigDict(extra="forbid") if closed else None)


def write_json(path: str | Path, record: dict[str, Any]) -> None:
    """Write a JSON object with its checksum, atomically; :func:`unsealed_json` reads it."""
    write_text(path, json.dumps(with_checksum(record), indent=1, ensure_ascii=False) + "\n")


def without_nan(value: Any) -> Any:
    """A JSON value with null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def read_own(path: Path, parse: Callable[[bytes], Content], consequence: str) -> Content | None:
    """Read a file of this package's own state with ``parse``; None where it is missing or damaged.

    A file is damaged if ``parse`` raises any error. It is then renamed to ``NAME.damaged``, and a warning names it,
    what is wrong and the consequence, such as "its images are measured again": no such error stops a run.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return parse(content)
    except Exception as error:  # whatever the bytes make of the parser: the file is not what was written
        reason = " ".join(str(error).split()) or type(error).__name__
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(aside)
        what = f"set aside as {aside.name}"
    except OSError as error:
        what = f"it cannot be set aside ({error.strerror})"
    warnings.warn(f"{path} is damaged: {reason}; {what}, {consequence}", stacklevel=2)
    return None


def digest_of_json(value: Any) -> str:
    """SHA-256 of a JSON value; what JSON does not know is taken as text."""
    plain = json.loads(json.dumps(value, default=str))  # as a reader of a file sees it
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def what_it_does(path: Path) -> bytes:
    """The syntax tree of a Python module without docstrings, the values of a TOML file, the bytes of any other."""
    source = path.read_bytes()
    try:
        if path.suffix == ".toml":
            return repr(tomllib.loads(source.decode())).encode()
        if path.suffix != ".py":
            return source
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    for node in ast.walk(tree):
        if (isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                and ast.get_docstring(node, clean=False) is not None):
            node.body = node.body[1:]
    return ast.dump(tree).encode()
