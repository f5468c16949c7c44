"""The explorers of the book: made once for a package, and honest where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxyclip.book import explorer_pages


def test_a_page_says_what_is_missing_and_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explorer_pages.photographs, "missing", lambda: ["the model (pip install it)"])
    pages = explorer_pages.photograph_pages()
    assert "Not installed here: the model (pip install it)" in pages["photographs_statistics"]
    assert not any(content for name, content in pages.items() if name != "photographs_statistics")


def test_what_was_made_from_the_same_package_is_not_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scene = {"title": "a scene", "image": "data:,"}
    monkeypatch.setattr(explorer_pages, "method_scenes", lambda: [scene])
    monkeypatch.setattr(explorer_pages, "photograph_pages", lambda: {"photographs_statistics": "text"})
    explorer_pages.write_explorers(tmp_path)
    assert 'data-explorer="explorer"' in (tmp_path / "explorer_method.html").read_text()
    monkeypatch.setattr(explorer_pages, "method_scenes", lambda: pytest.fail("made again"))
    explorer_pages.write_explorers(tmp_path)
