"""Signatures of the interface page."""

import ast
import inspect

import pytest

from proxyclip import ProxyCLIP
from proxyclip.book.sphinx_extension import readable


def test_the_signature_of_a_dataclass_is_python() -> None:
    raw = str(inspect.signature(ProxyCLIP))
    assert "<factory>" in raw
    with pytest.raises(SyntaxError):
        ast.parse(f"def f{raw}: ...")
    ast.parse(f"def f{readable(raw)}: ...")
    assert readable(None) is None
