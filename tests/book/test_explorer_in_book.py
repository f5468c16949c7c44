"""The explorers of the built book: chapters link to them in a given state, and they need no network."""

import json
from pathlib import Path
from urllib.parse import urljoin

import pytest
from browser import DESKTOP, PHONE, Browser
from bs4 import BeautifulSoup

from book.checkout import Layout
from proxyclip.supplement.measures import real_photographs as photographs

pytestmark = pytest.mark.book

READY = "document.querySelector('[data-number=mean]') && !document.querySelector('[aria-busy=true]')"
#: The values of the controls of an explorer that are in use.
CONTROLS = """Object.fromEntries([
  ...[...document.querySelectorAll('.pce input[type=radio]:checked')].map(e => [e.name.split('-')[1], e.value]),
  ...[...document.querySelectorAll('.pce-slider:not([hidden]) input')].map(e => [e.id.split('-')[1], e.value])])"""
#: Most bytes of a page with an explorer, and of a scene.
MOST_PAGE, MOST_SCENE = 3_000_000, 400_000


@pytest.fixture(scope="module")
def site(layout: Layout) -> Path:
    return layout.index.parent


def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@pytest.mark.parametrize(("chapter", "expected"), [
    ("B_hyperparameters", {"rule": "adaptive", "scene": "context"}),
    ("D_hard_masking", {"rule": "hard", "vfm": "tiny_dino", "alpha": "0.6", "base": "0.5"}),
])
def test_a_chapters_link_opens_the_explorer_in_its_state(
    site: Path, browser: Browser, chapter: str, expected: dict[str, str]
) -> None:
    page = site / "notebooks" / f"{chapter}.html"
    link = parsed(page).select_one("article a[href*='#explorer?']")
    assert link is not None, "the chapter has no link to the explorer"
    address = urljoin(page.as_uri(), str(link["href"]))
    browser.visit("about:blank", DESKTOP)  # else a link within the open page would load nothing
    visit = browser.visit(address, DESKTOP)
    assert browser.wait_until(READY, 60)
    assert not visit.errors and not visit.requests
    shown = browser.evaluate(CONTROLS)
    named = dict(part.split("=") for part in address.partition("?")[2].split("&"))
    assert expected.items() <= shown.items()
    assert {name: shown[name] for name in named if name in shown} == named
    assert browser.wait_until("Math.abs(document.querySelector('.pce').getBoundingClientRect().top) < innerHeight", 5)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_scene_of_the_method_can_be_chosen(site: Path, browser: Browser, size: tuple[int, int]) -> None:
    browser.visit("about:blank", size)
    visit = browser.visit((site / "method.html").as_uri(), size)
    assert browser.wait_until(READY, 60)
    for key in browser.evaluate("[...document.querySelectorAll('.pce-scene input')].map(e => e.value)"):
        browser.evaluate(f"document.querySelector('.pce-scene input[value={key}]').click()")
        shown = f"document.querySelector('.pce-note').textContent.includes('/{key}')"
        assert browser.wait_until(f"({READY}) && {shown}", 60)
        assert browser.evaluate("parseFloat(document.querySelector('[data-number=miou]').textContent)") > 0
    assert not visit.errors and not visit.requests


def test_the_photographs_are_shown_or_the_page_says_how_to_add_them(site: Path, browser: Browser) -> None:
    visit = browser.visit((site / "real_photographs.html").as_uri(), DESKTOP)
    text = browser.evaluate("document.querySelector('article').textContent")
    if missing := photographs.missing():
        assert all(sentence in text for sentence in missing)
        assert not browser.evaluate("document.querySelector('[data-explorer]')")
    else:
        assert browser.wait_until(READY, 60)
        assert "Something is missing" not in text or not photographs.annotated_photographs()
    assert not visit.errors and not visit.requests


@pytest.mark.parametrize("name", ["method", "real_photographs"])
def test_a_page_with_an_explorer_is_small_enough(site: Path, name: str) -> None:
    page = site / f"{name}.html"
    assert page.stat().st_size <= MOST_PAGE
    scenes = [scene for data in parsed(page).select("script[type='application/json'][id$='-data']")
              for scene in json.loads(str(data.string))["scenes"]]
    assert bool(scenes) is (name == "method" or not photographs.missing())
    assert all(len(json.dumps(scene, separators=(",", ":"), ensure_ascii=False)) <= MOST_SCENE for scene in scenes)
