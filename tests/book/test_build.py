"""The built book: complete, readable in a browser, and silent towards every network."""

import os
import re
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Browser

from book.checkout import Layout
from book.site.pdf import contents

pytestmark = pytest.mark.book


def test_every_notebook_has_a_page_from_which_it_can_be_downloaded(layout: Layout) -> None:
    for notebook in layout.chapters():
        html = (layout.index.parent / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
        assert re.search(rf'href="[^"]*_sources/notebooks/{notebook.name}"', html), notebook.name


def test_no_stylesheet_fetches_anything_from_a_network(layout: Layout) -> None:
    remote = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^)"']+)""")
    found = {sheet.name: remote.findall(sheet.read_text(encoding="utf-8"))
             for sheet in layout.index.parent.rglob("*.css")}
    assert not {name: addresses for name, addresses in found.items() if addresses}


def test_no_page_contains_the_path_of_the_checkout(layout: Layout) -> None:
    pages = layout.index.parent.rglob("*.html")
    assert not [page.name for page in pages if str(layout.root) in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_reads_well(layout: Layout, browser: Browser, size: tuple[int, int]) -> None:
    """Screenshots go to the folder named by PROXYCLIP_SCREENSHOTS, if it is set."""
    wrong: list[str] = []
    for name in [*contents(layout), "search", "genindex"]:
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
