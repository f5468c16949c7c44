"""What the built pages need last: only those parts of MathJax that they use, one heading a page, and a PDF of them "
  "all."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

from proxyclip.book.checkout import BookError, Layout
from proxyclip.system.atomic import write_text

#: Of MathJax: the component that reads TeX and writes HTML, its letters, and the extensions that TeX may ask for.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2/", "input/tex/extensions/")
NOT_USED = ("all-packages.js", "mhchem.js")

#: The theme's copy of a page's title and contents for paper: a second first heading that nobody sees on a screen.
PRINT_COPY = re.compile(r'<div id="jb-print-docs-body" class="onlyprint">.*?(?=<div id="searchbox"></div>)', re.DOTALL)
#: From source code back to its description.
BACK_LINK = re.compile(r'<a class="viewcode-back" href="(?P<href>[^"]+)">\[docs\]</a>')
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def prune_mathjax(static: Path) -> None:
    """Delete what of MathJax no page of this book loads: speech, menus, other inputs and outputs.

    Parameters
    ----------
    static : Path
        The folder ``_static`` of the built pages.
    """
    root = static / "mathjax"
    for path in [found for found in root.rglob("*") if found.is_file()]:
        name = path.relative_to(root).as_posix()
        if not name.startswith(MATHJAX) or name.endswith(NOT_USED):
            path.unlink()
    for folder in sorted((found for found in root.rglob("*") if found.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def finish_page(text: str) -> str:
    """A page with one first heading."""
    return PRINT_COPY.sub("", text)


def without_dead_links(page: Path, text: str, ids: dict[Path, set[str]]) -> str:
    """A page of source code without its links to descriptions that no page has: Sphinx links every documented parent.

    Parameters
    ----------
    page : Path
    text : str
        Its HTML.
    ids : dict of Path to set of str
        Places of the pages that were looked at so far; filled in.
    """
    def kept(match: re.Match[str]) -> str:
        address, _, fragment = match["href"].partition("#")
        target = (page.parent / address).resolve()
        if target not in ids:
            described = target.read_text(encoding="utf-8") if target.is_file() else ""
            ids[target] = set(re.findall(r' id="([^"]+)"', described))
        return match[0] if fragment in ids[target] else ""

    return BACK_LINK.sub(kept, text)


def finish_pages(html: Path) -> None:
    """Finish every page of a built book."""
    prune_mathjax(html / "_static")
    ids: dict[Path, set[str]] = {}
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        finished = finish_page(text)
        if "_modules" in path.parts:
            finished = without_dead_links(path, finished, ids)
        if finished != text:
            path.write_text(finished, encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------------ PDF


def contents(layout: Layout) -> list[str]:
    """Names of the pages in the order of the contents, without suffix."""
    toc = yaml.safe_load((layout.build / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def one_page(layout: Layout, names: Sequence[str]) -> str:
    """All pages of the book as one, in the book's own look: addresses are those seen from the first page."""
    first = BeautifulSoup((layout.index.parent / f"{names[0]}.html").read_text(encoding="utf-8"), "html.parser")
    articles = []
    for name in names:
        page = BeautifulSoup((layout.index.parent / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        article = page.find("article")
        if article is None:
            raise BookError(f"the page {name} has no article; build the book again with --force")
        for tag in article.find_all(True):
            for attribute in ("src", "href"):
                if str(tag.get(attribute, "")).startswith("../"):
                    tag[attribute] = tag[attribute].removeprefix("../")
        for folded in article.find_all("details"):
            if "hide" not in (folded.get("class") or []):
                folded["open"] = ""
        articles.append(f'<article class="bd-article chapter-of-pdf">{article.decode_contents()}</article>')
    return (f'<!doctype html><html lang="en" data-theme="light" data-mode="light"><head>{first.head.decode_contents()}'
            f'</head><body class="as-pdf"><div class="bd-main"><div class="bd-content">{"".join(articles)}</div></div>'
            "</body></html>")


def build_pdf(layout: Layout) -> Path:
    """Print the built book to ``book/_build/proxyclip.pdf`` with a headless Chromium.

    Raises
    ------
    BookError
        If the book is not built, or no Chromium is on PATH, or it prints nothing.
    """
    if not layout.index.is_file():
        raise BookError("the book is not built yet: run `make book` first")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise BookError(f"a PDF needs {', '.join(BROWSERS[:-1])} or {BROWSERS[-1]} on PATH, and none is there")
    source, target = layout.index.parent / "whole_book.html", layout.build / "proxyclip.pdf"
    write_text(source, one_page(layout, contents(layout)))
    target.unlink(missing_ok=True)
    try:
        subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
                        "--virtual-time-budget=120000", "--run-all-compositor-stages-before-draw",
                        f"--print-to-pdf={target}", source.as_uri()], capture_output=True, check=False, timeout=540)
    finally:
        source.unlink()
    if not target.is_file():
        raise BookError(f"{Path(browser).name} printed nothing; open {layout.index} and print it from the browser")
    return target
