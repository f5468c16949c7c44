"""The last steps on the built pages: only the parts of MathJax that they use, one first heading a page, and a PDF."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

from book.checkout import BookError, Layout
from proxyclip.system.atomic import write_text

#: What the pages load of MathJax: the component that reads TeX and writes HTML, its fonts, and extensions of TeX.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2/", "input/tex/extensions/")
NOT_USED = ("all-packages.js", "mhchem.js")

#: The theme's copy of a page's title and contents for printing; it holds a second ``h1``, which no screen shows.
PRINT_COPY = re.compile(r'<div id="jb-print-docs-body" class="onlyprint">.*?(?=<div id="searchbox"></div>)', re.DOTALL)
#: The link from source code back to its description.
BACK_LINK = re.compile(r'<a class="viewcode-back" href="(?P<href>[^"]+)">\[docs\]</a>')
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def prune_mathjax(static: Path) -> None:
    """Delete the parts of MathJax that no page of this book loads: speech, menus, other inputs and outputs.

    Parameters
    ----------
    static : Path
        The folder ``_static`` of the built pages.
    """
    root = static / "mathjax"
    for path in sorted(root.rglob("*"), reverse=True):  # a folder comes after its files
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not name.startswith(MATHJAX) or name.endswith(NOT_USED):
            path.unlink()


def without_dead_links(page: Path, text: str, ids: dict[Path, set[str]]) -> str:
    """A page of source code without the links that Sphinx makes to descriptions that no page has.

    Parameters
    ----------
    page : Path
    text : str
        Its HTML.
    ids : dict of Path to set of str
        The ids on each page that has been read; this function adds to them.
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
    """Delete unused parts of MathJax, and second first headings and dead links from every page of a built book."""
    prune_mathjax(html / "_static")
    ids: dict[Path, set[str]] = {}
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        finished = PRINT_COPY.sub("", text)
        if "_modules" in path.parts:
            finished = without_dead_links(path, finished, ids)
        if finished != text:
            path.write_text(finished, encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------------ PDF


def contents(layout: Layout) -> list[str]:
    """Names of the pages without suffix, in the order of the table of contents."""
    toc = yaml.safe_load((layout.build / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def one_page(layout: Layout, names: Sequence[str]) -> str:
    """All pages of the book as one in the book's style sheets; links are relative to the first page."""
    head, articles = "", []
    for name in names:
        page = BeautifulSoup((layout.index.parent / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        head = head or page.head.decode_contents()
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
    return (f'<!doctype html><html lang="en" data-theme="light" data-mode="light"><head>{head}'
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
