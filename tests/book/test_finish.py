"""The last steps on the built pages."""

from pathlib import Path

import pytest

from book.checkout import BookError, Layout
from book.site.finish import finish_pages, prune_mathjax, prune_theme
from book.site.pdf import build_pdf, one_page


def test_only_the_parts_of_mathjax_that_a_page_can_load_are_kept(tmp_path: Path) -> None:
    kept = ("tex-chtml.js", "output/chtml/fonts/woff-v2/A.woff", "input/tex/extensions/boldsymbol.js")
    gone = ("tex-svg.js", "a11y/sre.js", "sre/mathmaps/en.json", "input/tex/extensions/mhchem.js")
    for name in (*kept, *gone):
        (tmp_path / "mathjax" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mathjax" / name).write_text("x")
    prune_mathjax(tmp_path)
    left = {path.relative_to(tmp_path / "mathjax").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept) and not (tmp_path / "mathjax" / "sre").exists()


def test_the_theme_leaves_its_source_maps_translations_and_second_fonts(tmp_path: Path) -> None:
    kept, gone = ("scripts/a.js", "vendor/f/f.woff2"), ("scripts/a.js.map", "locales/pl/m.json", "vendor/f/f.ttf")
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    prune_theme(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_the_whole_book_as_one_page_finds_its_pictures_from_the_first_page(tmp_path: Path) -> None:
    html = tmp_path / "book" / "_build" / "html"
    (html / "notebooks").mkdir(parents=True)
    (html / "intro.html").write_text("<head><title>t</title></head><article><h1>One</h1></article>")
    (html / "notebooks" / "A.html").write_text('<head></head><article><img src="../_images/a.png"></article>')
    page = one_page(Layout(tmp_path), ["intro", "notebooks/A"])
    assert 'src="_images/a.png"' in page and page.count("<article") == 2 and page.index("One") < page.index("a.png")


def test_a_pdf_of_a_book_that_is_not_built_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="not built yet"):
        build_pdf(Layout(tmp_path))


def test_source_code_links_back_only_to_descriptions_that_exist(tmp_path: Path) -> None:
    (tmp_path / "api.html").write_text('<dt id="a.b">b</dt>')
    links = [f'<a class="viewcode-back" href="../api.html#{name}">[docs]</a>' for name in ("a.b", "a.c")]
    source = tmp_path / "_modules" / "m.html"
    source.parent.mkdir()
    source.write_text("".join(links))
    (tmp_path / "_static" / "mathjax").mkdir(parents=True)
    finish_pages(tmp_path)
    assert source.read_text() == links[0]
