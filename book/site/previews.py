"""What a link shows on hover and focus: parts of pages, in one script, since a page on disk reads no other page."""

import json
from collections.abc import Iterable
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from proxyclip.system.atomic import write_text

#: Written beside the script that shows the previews.
DATA = "_static/previews-data.js"
#: Elements with an address of their own that a preview may show.
PARTS = "div.citation[id], dl.glossary > dt[id], div.math[id], dl.glossary dt > span[id]"


def of_page(article: Tag, name: str) -> dict[str, str]:
    """Previews of one page: by its address what it is about, by the address of a part that part, as HTML."""
    found = {}
    title, first = article.find("h1"), article.select_one("section > p")
    if title is not None:
        words = title.get_text().removesuffix("#").strip()
        about = " ".join(first.get_text().split()) if first is not None else ""
        soup = BeautifulSoup("", "html.parser")
        for kind, text in (("strong", words), ("p", about)):
            element = soup.new_tag(kind)
            element.string = text
            soup.append(element)
        found[f"{name}.html"] = str(soup)
    for part in article.select(PARTS):
        meaning = part.find_next_sibling("dd") if part.name == "dt" else None
        for useless in part.select("a.headerlink, .backrefs, .label"):
            useless.decompose()
        found[f"{name}.html#{part['id']}"] = f"{part.decode_contents()}{meaning or ''}"
    return found


def write_previews(html: Path, pages: Iterable[str]) -> None:
    """Write the previews of all written pages; the interface's have none, since its names speak for themselves."""
    found: dict[str, str] = {}
    for name in sorted(pages):
        path = html / f"{name}.html"
        if path.is_file() and not name.startswith("api"):
            article = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").article
            if article is not None:
                found |= of_page(article, name)
    write_text(html / DATA, f"window.bookPreviews = {json.dumps(found, ensure_ascii=False)};\n")
