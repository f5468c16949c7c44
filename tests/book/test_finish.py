"""The last steps on the built pages."""

from pathlib import Path

import pytest

from book.checkout import BookError, Layout
from book.site.finish import finish_pages
from book.site.pdf import build_pdf, one_page


def test_only_what_a_page_loads_of_mathjax_and_of_the_theme_is_kept(tmp_path: Path) -> None:
    kept = ("mathjax/tex-chtml.js", "mathjax/output/chtml/fonts/woff-v2/A.woff",
            "mathjax/input/tex/extensions/boldsymbol.js", "scripts/a.js", "vendor/f/f.woff2")
    gone = ("mathjax/tex-svg.js", "mathjax/a11y/sre.js", "mathjax/sre/mathmaps/en.json",
            "mathjax/input/tex/extensions/mhchem.js", "scripts/a.js.map", "locales/pl/m.json", "vendor/f/f.ttf")
    for name in (*kept, *gone):
        (tmp_path / "_static" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "_static" / name).write_text("x")
    finish_pages(tmp_path)
    left = {path.relative_to(tmp_path / "_static").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept) and not (tmp_path / "_static" / "mathjax" / "sre").exists()


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
