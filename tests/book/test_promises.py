"""Every test that the page of promises names exists."""

import re
from pathlib import Path


def test_every_promise_has_a_test_that_exists(repository_root: Path) -> None:
    page = (repository_root / "book" / "promises.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [A-Z].*\| `(tests/[\w/]+\.py)::(\w+)` \|$", page, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| [A-Z]", page, re.MULTILINE)) > 20
    missing = [f"{file}::{name}" for file, name in rows
               if f"def {name}(" not in (repository_root / file).read_text(encoding="utf-8")]
    assert not missing
