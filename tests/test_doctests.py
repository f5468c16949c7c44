"""The worked examples in docstrings, and those of the book's page on the interface, do what they show."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import proxyclip
from proxyclip.supplement.chapters.notebooks import find_root

PACKAGE = Path(proxyclip.__file__).parent
SHOWING = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", SHOWING)
def test_the_examples_of_a_module_give_what_they_show(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(import_module(module)).failed == 0


def test_what_users_call_has_an_example():
    model = proxyclip.ProxyCLIP
    for called in (proxyclip.load, model.segment, model.windows, proxyclip.dataset, proxyclip.evaluate,
                   proxyclip.parse_rule):
        assert ">>> " in called.__doc__, called.__name__


def test_the_ten_names_of_the_interface_page_work_in_the_order_of_the_page(tmp_path, monkeypatch):
    rows = (find_root() / "book/api.md").read_text(encoding="utf-8").split("| --- | --- |\n")[1].split("\n\n")[0]
    examples = [row.split("|")[2].strip().strip("`") for row in rows.splitlines()]
    assert len(examples) == 10
    monkeypatch.chdir(tmp_path)
    proxyclip.dataset("tiny/street")[0].image.save("photo.png")
    names: dict[str, object] = {"pc": proxyclip}
    for example in examples:
        exec(example, names)
    assert (tmp_path / "out.png").exists()
