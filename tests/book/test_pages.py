"""The built pages: headings, captions, links, what they fetch, colours in both modes, size."""

import base64
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import numpy as np
import pytest
from browser import DESKTOP, PHONE, Browser, Visit
from bs4 import BeautifulSoup
from PIL import Image

import proxyclip
from book.checkout import Layout
from book.site.pdf import contents, one_page
from proxyclip.supplement.figures.palette import style_of
from proxyclip.supplement.measures import real_photographs as photographs

pytestmark = pytest.mark.book

MOST_BYTES = 25 * 2**20
#: Pages that Sphinx makes.
WITHOUT_SOURCE = ("search", "genindex")
CONTRAST = Path(__file__).with_name("contrast.js")
#: What a browser fetches by itself; it does not follow a ``link`` of another kind, such as ``next`` or ``canonical``.
FETCHED = ("[src], [srcset], [poster], object[data], "
           "link:is([rel~=stylesheet], [rel~=icon], [rel~=preload], [rel~=prefetch], [rel~=modulepreload], "
           "[rel~=preconnect], [rel~=manifest])")


@pytest.fixture(scope="module")
def soups(layout: Layout) -> dict[Path, BeautifulSoup]:
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
            for path in sorted(layout.index.parent.rglob("*.html"))}


def test_no_page_fetches_anything_from_a_network(soups: dict[Path, BeautifulSoup]) -> None:
    remote = [f"{path.name}: {tag[name]}" for path, soup in soups.items() for tag in soup.select(FETCHED)
              for name in ("src", "srcset", "poster", "data", "href")
              if urlparse(tag.get(name, "")).scheme not in ("", "data") or tag.get(name, "").startswith("//")]
    assert not remote


def test_every_image_exists(soups: dict[Path, BeautifulSoup]) -> None:
    missing = [f"{path.name}: {tag['src']}" for path, soup in soups.items() for tag in soup.select("img[src]")
               if not tag["src"].startswith("data:")
               and not (path.parent / unquote(urlparse(tag["src"]).path)).is_file()]
    assert not missing


def test_the_method_is_given_in_equations(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    assert len(soups[layout.index.parent / "method.html"].select(".math")) > 20


def written(layout: Layout) -> list[Path]:
    return [layout.index.parent / f"{name}.html" for name in contents(layout)]


def test_every_page_has_one_first_heading(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    wrong = {path.name: len(soups[path].find_all("h1")) for path in written(layout)}
    assert {name: count for name, count in wrong.items() if count != 1} == {}


def test_every_place_for_a_number_is_filled(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    assert not [page.name for page in written(layout) if "{{" in soups[page].select_one("article").text]


def test_the_interface_describes_every_public_name(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    described = {tag["id"].rpartition(".")[2] for path in (layout.index.parent / "api").iterdir()
                 for tag in soups[path].select("dt[id]")}
    assert set(proxyclip.__all__) <= described


def test_every_table_of_results_has_a_caption(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    missing = [f"{path.name}: {table.get_text(' ', strip=True)[:50]}" for path in written(layout)
               for table in soups[path].select("article table.dataframe, article .ledger table, article "
                                               "table.claims-picture")
               if table.caption is None or not table.caption.get_text(strip=True)]
    assert not missing


def test_every_drawing_and_picture_has_a_text_alternative(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    silent = [f"{path.name}: {str(tag)[:80]}" for path in written(layout)
              for tag in soups[path].select("article .book-figure svg[role], article img")
              if not (tag.get("aria-label") or tag.get("alt") or "").strip()]
    assert not silent


def test_every_chapter_begins_with_its_answer(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    for notebook in layout.chapters():
        article = soups[layout.index.parent / "notebooks" / f"{notebook.stem}.html"].article
        answer = article.select_one(".answer")
        assert answer is not None, notebook.stem
        assert answer.find_previous("h2") is None, "it comes before the first section"


def test_every_link_to_a_part_of_a_page_finds_it(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    places = {path: {tag.get("id") or tag.get("name") for tag in soup.find_all(attrs={"id": True})}
              for path, soup in soups.items()}
    broken = set()
    for path, soup in soups.items():
        for link in soup.select("article a[href*='#']"):
            address, fragment = urldefrag(link["href"])
            if urlparse(address).scheme or not fragment:
                continue
            target = (path.parent / unquote(address)).resolve() if address else path
            place = unquote(fragment)
            if place.startswith("explorer?"):  # a state that the explorer of that page reads
                if not soups[target].select("[data-explorer]") and not (
                        target.stem == "real_photographs" and photographs.missing()):  # the page says so at its top
                    broken.add(f"{path.name}: {link['href']}")
            elif place not in places.get(target, set()):
                broken.add(f"{path.relative_to(layout.index.parent)}: {link['href']}")
    assert not broken


def test_a_name_has_one_colour_and_one_marker_in_the_whole_book(
    layout: Layout, soups: dict[Path, BeautifulSoup]
) -> None:
    found: dict[str, set[tuple[str, str]]] = {}
    for path in written(layout):
        for drawing in soups[path].select("svg[data-series]"):
            for series in json.loads(drawing["data-series"]):
                found.setdefault(series["name"], set()).add((series["colour"], series["marker"]))
                assert series["colour"] in str(drawing), f"{series['name']} is drawn in its colour on {path.name}"
    assert len(found) > 12, found.keys()
    assert {name: styles for name, styles in found.items() if len(styles) > 1} == {}
    expected = {name: {(style_of(name).light, style_of(name).marker)} for name in found}
    assert found == expected


def test_every_written_page_says_what_it_is_about(layout: Layout, soups: dict[Path, BeautifulSoup]) -> None:
    for name in ("intro", "method", "tiny_world", "tiny_world_appendix"):
        about = soups[layout.index.parent / f"{name}.html"].find("meta", attrs={"name": "description"})
        assert about is not None and len(about["content"]) > 60, name


def test_the_site_is_small(layout: Layout) -> None:
    assert sum(path.stat().st_size for path in layout.index.parent.rglob("*") if path.is_file()) <= MOST_BYTES


#: What :func:`set_mode` changes appears at once, and is drawn when the promise is kept.
AT_ONCE = """document.head.insertAdjacentHTML('beforeend', '<style>* { transition: none !important }</style>');
new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))"""


def set_mode(browser: Browser, mode: str) -> None:
    browser.evaluate(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{mode}'; "
                     + AT_ONCE)


#: Figures that hold charts: pictures of scenes and grids of coloured numbers have the same colours on any page.
CHARTS = ("[...document.querySelectorAll('.book-figure:not(.scenes):not(.flow) > .panels')]"
          """.filter(chart => chart.querySelector('svg:not([data-series="[]"])'))""")


@dataclass
class Opened:
    """What a page showed: at each size, text with too little contrast in each mode, bright charts in the dark."""

    visits: dict[tuple[int, int], Visit]
    poor: dict[str, dict[str, str]]
    bright: list[float]


@pytest.fixture(scope="module")
def opened(layout: Layout, browser: Browser) -> dict[str, Opened]:
    """Every page, opened once, since most of the time goes into loading it and typesetting its equations."""
    pages = {}
    for name in [*contents(layout), *WITHOUT_SOURCE]:
        visits = {DESKTOP: browser.visit((layout.index.parent / f"{name}.html").as_uri(), DESKTOP)}
        keep_screenshot(browser, name, DESKTOP)
        poor, shots = {}, []
        for mode in ("dark", "light"):
            set_mode(browser, mode)
            poor[mode] = {} if name in WITHOUT_SOURCE else browser.run(CONTRAST)
            shots.append([chart(browser, number) for number in range(browser.evaluate(f"{CHARTS}.length"))])
        bright = [float((dark > 200).mean()) for dark, light in zip(*shots, strict=True)
                  if (dark > 200).mean() > 0.35 or np.abs(light - dark).mean() < 60]
        visits[PHONE] = browser.resized(PHONE)
        keep_screenshot(browser, name, PHONE)
        pages[name] = Opened(visits, poor, bright)
    return pages


def keep_screenshot(browser: Browser, name: str, size: tuple[int, int]) -> None:
    """Save the open page to the folder named by PROXYCLIP_SCREENSHOTS, if it is set."""
    if folder := os.environ.get("PROXYCLIP_SCREENSHOTS"):
        browser.screenshot(Path(folder) / f"{name.replace('/', '-')}-{size[0]}.png")


def chart(browser: Browser, number: int) -> np.ndarray:
    """The part of a chart that is on the screen once it is scrolled to, as grey levels."""
    place = browser.evaluate(f"""(() => {{
      const chart = {CHARTS}[{number}];
      chart.scrollIntoView();
      const box = chart.getBoundingClientRect(), [x, y] = [box.left, box.top].map(Math.round);
      return {{x: x + scrollX, y: y + scrollY, width: Math.round(box.right) - x,
               height: Math.min(Math.round(box.bottom), innerHeight) - y, scale: 1}};
    }})()""")
    shot = browser.call("Page.captureScreenshot", format="png", optimizeForSpeed=True, clip=place)["data"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("L"), dtype=float)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_reads_well(opened: dict[str, Opened], size: tuple[int, int]) -> None:
    wrong: list[str] = []
    for name, page in opened.items():
        visit = page.visits[size]
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


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_can_be_read_in_both_modes(opened: dict[str, Opened], mode: str) -> None:
    # signatures on the page of the interface are coloured by the theme
    assert not {name: page.poor[mode] for name, page in opened.items() if page.poor[mode] and name != "api"}


def test_charts_have_no_light_box_on_a_dark_page(opened: dict[str, Opened]) -> None:
    assert not {name: page.bright for name, page in opened.items() if page.bright}


def test_the_pages_of_the_pdf_follow_each_other_and_keep_their_titles(layout: Layout, browser: Browser) -> None:
    path = layout.index.parent / "printed_by_a_test.html"
    path.write_text(one_page(layout, contents(layout)), encoding="utf-8")
    try:
        browser.call("Emulation.setEmulatedMedia", media="print")
        browser.visit(path.as_uri(), (816, 1056))
        places = browser.evaluate("[...document.querySelectorAll('article')].map(article => "
                                  "[article, article.querySelector('h1')].map(part => part.getBoundingClientRect())"
                                  ".flatMap(box => [box.left, box.top, box.right, box.bottom]))")
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
        path.unlink()
    assert len(places) == len(contents(layout))
    for (left, top, right, bottom, *title), following in zip(places, [*places[1:], [0, np.inf]], strict=True):
        assert 0 <= left < right <= 816 and bottom <= following[1]
        assert top <= title[1] < title[3] <= top + 200, "its title is at its top"
