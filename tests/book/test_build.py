"""The built book: complete, readable in a browser, and silent towards every network."""

import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
import yaml
from browser import DESKTOP, PHONE, Browser

from proxyclip.book.checkout import Layout

pytestmark = pytest.mark.book

#: Attributes that make a browser fetch something by itself; a link to follow (``a href``) is not among them.
FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
}
#: Values of ``link rel`` that are fetched; ``next``, ``prev``, ``search``, ``canonical`` are only named.
FETCHED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "manifest"}


class Page(HTMLParser):
    """Collects what a page fetches and counts its formulas."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.fetched: list[str] = []
        self.images: list[str] = []
        self.formulas = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "math" in values.get("class", "").split():
            self.formulas += 1
        if tag == "link" and FETCHED_LINKS & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))
        for attribute in FETCHED.get(tag, ()):
            if address := values.get(attribute):
                self.fetched.append(address)
                if tag == "img" and attribute == "src":
                    self.images.append(address)

    def on_disk(self, address: str) -> Path:
        return (self.path.parent / unquote(urlparse(address).path)).resolve()


@pytest.fixture(scope="module")
def pages(layout: Layout) -> list[Page]:
    return [Page(path) for path in sorted(layout.index.parent.rglob("*.html"))]


def _contents(layout: Layout) -> list[str]:
    toc = yaml.safe_load((layout.build / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def test_every_entry_of_the_contents_has_its_page(layout: Layout) -> None:
    for name in _contents(layout):
        assert (layout.index.parent / f"{name}.html").is_file(), name


def test_every_notebook_has_a_page_of_its_name(layout: Layout) -> None:
    for notebook in layout.chapters():
        assert (layout.index.parent / "notebooks" / f"{notebook.stem}.html").is_file(), notebook.stem


def test_every_notebook_can_be_downloaded_from_its_page(layout: Layout) -> None:
    for notebook in layout.chapters():
        html = (layout.index.parent / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        assert re.search(rf'href="[^"]*_sources/notebooks/{notebook.name}"', html), notebook.name


def test_no_page_fetches_anything_from_a_network(pages: list[Page]) -> None:
    remote = [
        f"{page.path.name}: {address}"
        for page in pages
        for address in page.fetched
        if urlparse(address).scheme not in ("", "data") or address.startswith("//")
    ]
    assert not remote


def test_no_stylesheet_fetches_anything_from_a_network(layout: Layout) -> None:
    found = [
        f"{sheet.name}: {address}"
        for sheet in layout.index.parent.rglob("*.css")
        for address in re.findall(
            r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^)"']+)""", sheet.read_text(encoding="utf-8")
        )
    ]
    assert not found


def test_every_image_exists(pages: list[Page]) -> None:
    missing = [
        f"{page.path.name}: {address}"
        for page in pages
        for address in page.images
        if not address.startswith("data:") and not page.on_disk(address).is_file()
    ]
    assert not missing


def test_the_method_is_given_in_equations(pages: list[Page]) -> None:
    (method,) = [page for page in pages if page.path.name == "method.html"]
    assert method.formulas > 20


def test_no_page_tells_where_it_was_built(layout: Layout, pages: list[Page]) -> None:
    named = [page.path.name for page in pages if str(layout.root) in page.path.read_text(encoding="utf-8")]
    assert not named


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_reads_well(layout: Layout, browser: Browser, size: tuple[int, int]) -> None:
    """Screenshots go to the folder named by PROXYCLIP_SCREENSHOTS, if it is set."""
    wrong: list[str] = []
    for name in [*_contents(layout), "search", "genindex"]:
        visit = browser.visit((layout.index.parent / f"{name}.html").as_uri(), size)
        if folder := os.environ.get("PROXYCLIP_SCREENSHOTS"):
            browser.screenshot(Path(folder) / f"{name.replace('/', '-')}-{size[0]}.png")
        found = visit.found
        faults = {
            "script errors": visit.errors,
            "requests": visit.requests,
            "broken images": found["broken"],
            "images without alternative text": found["without_alt"],
            "equations not rendered": found["formulas"] - found["typeset"],
            "equations with errors": found["failed"],
            "clipped": found["clipped"],
            "equations beyond their place": found["formulas_beyond"],
            "pixels too wide": max(found["overflow"], 0) and (found["overflow"], found["widest"]),
        }
        wrong += [f"{name}: {fault}: {value}" for fault, value in faults.items() if value]
    assert not wrong, "\n".join(wrong)


def test_the_first_page_leads_into_the_book(layout: Layout, browser: Browser) -> None:
    browser.call("Page.navigate", url=layout.index.as_uri())  # a redirect: no inspection while it happens
    assert browser.wait_until("document.querySelector('article h1') !== null")


def test_a_search_finds_the_page_that_has_the_word(layout: Layout, browser: Browser) -> None:
    browser.visit((layout.index.parent / "search.html").as_uri() + "?q=adaptive", DESKTOP)
    links = "[...document.querySelectorAll('#search-results li a')].map(link => link.getAttribute('href'))"
    found = browser.wait_until(f"{links}.some(link => link.startsWith('method.html'))")
    assert found, browser.evaluate(links)
