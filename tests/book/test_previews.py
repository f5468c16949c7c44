"""Previews of links, in a browser: a book of two pages, by mouse and by keyboard, without a network."""

import json
import shutil
from pathlib import Path

import pytest
from browser import DESKTOP, Browser

from book.site.previews import write_previews

STATIC = Path(__file__).parents[2] / "book" / "_static"
PAGE = """<!doctype html><html data-content_root="./"><head><link rel="stylesheet" href="_static/book.css">
<script src="_static/previews-data.js"></script><script src="_static/previews.js"></script></head>
<body><article class="bd-article"><section>{}</section></article></body></html>"""
FIRST = """<h1>First</h1><p><a id="chapter" href="second.html">the other</a>,
<a id="section" href="second.html#answer">its answer</a>, <a id="term" href="second.html#term-mask">mask</a>,
<a id="equation" href="second.html#equation-softmax">(1)</a>, <a id="here" href="#below">below</a>,
<a id="away" href="https://example.org/">away</a></p><p id="below">Below.</p>"""
SECOND = """<h1>Second<a class="headerlink" href="#second">#</a></h1><p>What it is about: 1 &lt; 2.</p>
<dl class="glossary"><dt id="term-mask">mask</dt><dd><p>Where attention may go.</p></dd></dl>
<div class="math" id="equation-softmax">softmax of S</div>"""
SHOWN = "(() => { const box = document.getElementById('preview'); return box.hidden ? '' : box.innerText; })()"


@pytest.fixture
def page(tmp_path: Path, browser: Browser) -> Browser:
    shutil.copytree(STATIC, tmp_path / "_static")
    for name, text in (("first", FIRST), ("second", SECOND)):
        (tmp_path / f"{name}.html").write_text(PAGE.format(text))
    write_previews(tmp_path, ["first", "second"])
    visit = browser.visit((tmp_path / "first.html").as_uri(), DESKTOP)
    assert not visit.errors and not visit.requests
    return browser


def point_at(page: Browser, name: str, below: int = 0) -> None:
    rectangle = f"document.getElementById({json.dumps(name)}).getBoundingClientRect()"
    x, y = page.evaluate(f"(() => {{ const r = {rectangle}; return [r.left + 4, r.bottom - 4]; }})()")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y + below)


@pytest.mark.parametrize(("name", "words"), [
    ("chapter", "What it is about: 1 < 2."), ("section", "What it is about: 1 < 2."),
    ("term", "Where attention may go."), ("equation", "softmax of S"),
])
def test_pointing_at_a_link_shows_what_it_leads_to(page: Browser, name: str, words: str) -> None:
    point_at(page, name)
    assert page.wait_until(f"{SHOWN}.includes({json.dumps(words)})", seconds=10), page.evaluate(SHOWN)
    assert page.evaluate("document.querySelector('[aria-describedby=preview]').id") == name
    point_at(page, name, below=12)
    assert not page.wait_until(f"!{SHOWN}", seconds=0.5), "the pointer is on the preview, which stays"
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=900, y=600)
    assert page.wait_until(f"!{SHOWN}", seconds=10)


def test_the_keyboard_opens_a_preview_and_closes_it(page: Browser) -> None:
    def press(key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    seen = []
    for _ in range(6):
        press("Tab", 9)
        seen.append((page.evaluate("document.activeElement.id"), bool(page.evaluate(SHOWN))))
    assert seen == [("chapter", True), ("section", True), ("term", True), ("equation", True), ("here", False),
                    ("away", False)]
    page.evaluate("document.getElementById('term').focus()")
    assert "Where attention may go." in page.evaluate(SHOWN)
    press("Escape", 27)
    assert page.evaluate(SHOWN) == "" and page.evaluate("document.activeElement.id") == "term"
