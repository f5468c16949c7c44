"""The built book: complete, readable in a browser, and silent towards every network."""

import re

import pytest
from browser import DESKTOP, Browser

from book.checkout import Layout

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


def test_the_first_page_leads_into_the_book(layout: Layout, browser: Browser) -> None:
    browser.call("Page.navigate", url=layout.index.as_uri())  # a redirect: no inspection while it happens
    assert browser.wait_until("document.querySelector('article h1') !== null")


def test_a_search_finds_the_page_that_has_the_word(layout: Layout, browser: Browser) -> None:
    browser.visit((layout.index.parent / "search.html").as_uri() + "?q=adaptive", DESKTOP)
    links = "[...document.querySelectorAll('#search-results li a')].map(link => link.getAttribute('href'))"
    found = browser.wait_until(f"{links}.some(link => link.startsWith('method.html'))")
    assert found, browser.evaluate(links)
