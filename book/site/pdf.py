"""The whole book as one PDF, printed by a headless Chromium."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

from book.checkout import BookError, Layout
from proxyclip.system.atomic import write_text

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: Its name beside the first page.
PDF = "proxyclip.pdf"


def contents(layout: Layout) -> list[str]:
    """Names of the pages without suffix, in the order of the table of contents."""
    toc = yaml.safe_load((layout.build / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def one_page(layout: Layout, names: Sequence[str]) -> str:
    """All pages of the book as one in the book's style sheets; links are relative to the first page."""
    head, articles = "", []
    for name in names:
        page = BeautifulSoup((layout.index.parent / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        article = page.find("article")
        if page.head is None or article is None:
            raise BookError(f"the page {name} has no head or no article; build the book again with --force")
        head = head or page.head.decode_contents()
        for tag in article.find_all(True):
            for attribute in ("src", "href"):
                if attribute in tag.attrs:
                    tag[attribute] = str(tag[attribute]).removeprefix("../")
        for folded in article.find_all("details"):
            if "hide" not in (folded.get("class") or []):
                folded["open"] = ""
        articles.append(f'<article class="bd-article chapter-of-pdf">{article.decode_contents()}</article>')
    return (f'<!doctype html><html lang="en" data-theme="light" data-mode="light"><head>{head}'
            f'</head><body class="as-pdf"><div class="bd-main"><div class="bd-content">{"".join(articles)}</div></div>'
            "</body></html>")


def browser() -> str:
    """Path of a Chromium, which prints and photographs pages without a window.

    A :class:`BookError` says if none is on PATH.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise BookError(f"this needs {', '.join(BROWSERS[:-1])} or {BROWSERS[-1]} on PATH, and none is there")
    return found


def build_pdf(layout: Layout) -> Path:
    """Print the built book to ``proxyclip.pdf`` beside the first page, with a headless Chromium.

    A :class:`BookError` says if the book is not built, no Chromium is on PATH, or it prints nothing.
    """
    if not layout.index.is_file():
        raise BookError("the book is not built yet: run `make book` first")
    program = browser()
    source, target = layout.index.parent / "whole_book.html", layout.index.parent / PDF
    write_text(source, one_page(layout, contents(layout)))
    target.unlink(missing_ok=True)
    try:
        subprocess.run([program, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
                        "--virtual-time-budget=120000", "--run-all-compositor-stages-before-draw",
                        f"--print-to-pdf={target}", source.as_uri()], capture_output=True, check=False, timeout=540)
    finally:
        source.unlink()
    if not target.is_file():
        raise BookError(f"{Path(program).name} printed nothing; open {layout.index} and print it from the browser")
    return target
