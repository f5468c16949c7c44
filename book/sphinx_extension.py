"""The book's Sphinx extension: it marks each table for narrow screens, and mends signatures, links and the search.

A table of numbers stays a table: its class is ``numbers``, and also ``wide`` if its columns do not fit on a phone; they
then scroll beneath the first one. A table of words, or of few rows that do not fit, becomes a list of cards on a narrow
screen (``cards``): every cell gets the heading of its column as ``data-label``, which ``book/_static/book.css`` shows
before it. The extension works on finished pages, so that it treats tables from Markdown and from notebooks alike.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag

from book.finish import finish_pages
from proxyclip.explorer.assets import ASSETS

#: Cells of at most this many characters make a table of numbers.
SHORT = 16
#: Letters in a row that fit on a phone of 390 pixels: each column's longest word and two for its margins.
FITTING = 50
#: Tables of numbers that do not fit, with at most this many rows, become cards.
FEW_ROWS = 4
#: A row's name of at most this many letters stays on one line.
NAME = 18
#: In a card, a column with a longer cell stands below its heading instead of beside it.
BESIDE = 28

#: A number, a range or a size such as 22 x 22.
NUMBER = re.compile(r"[-+–]?\d[\d.,]*(?: ?[x/] ?\d[\d.,]*)*(?: ?%)?")
#: Where a cell may break: not at a no-break space.
SPACES = re.compile(r"[ \t\n]+")
TABLE = re.compile(
    r"""(?P<box><div[ ](?:class="pst-scrollable-table-container"|style="overflow-x:auto")>\s*)?
        (?P<table><table\b.*?</table>)
        (?(box)\s*</div>)""",
    re.DOTALL | re.VERBOSE,
)


def _cells(row: Tag) -> list[Tag]:
    return row.find_all(["th", "td"], recursive=False)


def _length(cell: Tag) -> int:
    """Characters of the longest line of a cell."""
    lines = re.split(r"<br\s*/?>", cell.decode_contents())
    return max(len(html.unescape(re.sub(r"<[^>]*>", "", line)).strip()) for line in lines)


def _parts(cell: Tag) -> list[str]:
    """The parts of a cell that no line may break: a number with its unit or sign, a short name, else each word."""
    text = cell.get_text(" ", strip=True)
    short = NUMBER.fullmatch(text) or ("name" in cell.get("class", []) and len(text) <= NAME)
    return [text] if short and cell.br is None else SPACES.split(text)


def _letters(heads: list[Tag], rows: list[list[Tag]]) -> int:
    """Letters that a row needs at its narrowest: the longest part of each column, and its margins."""
    total = 0
    for head, *column in zip(heads, *rows, strict=True):
        parts = [*re.split(r"[\s/]", head.get_text(" ")), *(part for cell in column for part in _parts(cell))]
        total += 2 + max(map(len, parts))
    return total


def _kinds(heads: list[Tag], rows: list[list[Tag]]) -> list[str]:
    """Classes of a table that say how a narrow screen shows it."""
    if any(_length(cell) > SHORT for row in rows for cell in row[1:]):
        return ["cards"]
    if _letters(heads, rows) <= FITTING:
        return ["numbers"]
    single = all(cell.br is None for row in rows for cell in row)
    return ["cards", "figures"] if single and len(rows) <= FEW_ROWS else ["numbers", "wide"]


def narrow(table: str) -> str:
    """Mark one table for narrow screens.

    Parameters
    ----------
    table : str
        HTML of a table; one without a head is returned unchanged.

    Returns
    -------
    str
        The table with its class and labels, in a box that scrolls where necessary.
    """
    soup = BeautifulSoup(table, "html.parser")
    found = soup.table
    if found is None or found.thead is None or found.tbody is None:
        return table
    heads = _cells(found.thead.find("tr"))
    rows = [_cells(row) for row in found.tbody.find_all("tr")]
    for row in [heads, *rows]:
        _add_class(row[0], "name")
    kinds = _kinds(heads, rows)
    for cell in (cell for row in [heads, *rows] for cell in row):
        if len(_parts(cell)) == 1 and cell.br is None:
            _add_class(cell, "whole")
    if "cards" not in kinds:
        _join(rows)
    else:
        _label(found, rows, [cell.get_text(" ", strip=True) for cell in heads])
    paths = [*heads, *(code for row in rows for cell in row[1:] for code in cell.find_all("code"))]
    for text in [text for place in paths for text in place.find_all(string=re.compile("/"))]:
        # a line may break after a slash
        text.replace_with(BeautifulSoup(html.escape(text).replace("/", "/<wbr/>"), "html.parser"))
    reachable = ' role="region" tabindex="0" aria-label="table"' if "wide" in kinds else ""
    return f'<div class="table-box {" ".join(kinds)}"{reachable}>{found}</div>'


def _add_class(cell: Tag, name: str) -> None:
    cell["class"] = [*cell.get("class", []), name]


def _join(rows: list[list[Tag]]) -> None:
    """Merge equal names in consecutive rows into one cell."""
    first = rows[0][0]
    for row in rows[1:]:
        if row[0].get_text() == first.get_text():
            first["rowspan"] = int(first.get("rowspan", 1)) + 1
            row[0].decompose()
        else:
            first = row[0]


def _label(table: Tag, rows: list[list[Tag]], heads: list[str]) -> None:
    """Write each column's heading into its cells, and the ARIA roles that a table loses when it is shown as cards."""
    for element, role in ((table, "table"), *((row, "row") for row in table.find_all("tr"))):
        element["role"] = role
    for head, *column in zip(heads, *rows, strict=True):
        long = max(map(_length, column)) > BESIDE
        for cell in column:
            cell["role"] = "cell"
            cell["data-label"] = head
            if long:
                _add_class(cell, "long")
            if not cell.get_text(strip=True):
                cell.clear()
            else:  # one element beside the label, whatever the cell holds
                content = BeautifulSoup().new_tag("div")
                content.extend(list(cell.contents))
                cell.append(content)


#: An arXiv identifier as the references print it.
ARXIV = re.compile(r"(?<!/)arXiv:(\d{4}\.\d{4,5})")
#: No line may break between a number and its per cent sign, nor between ± and the error, except in code and pictures.
LITERAL = re.compile(r"(<(pre|script|style|svg|code)\b.*?</\2>)", re.DOTALL)
TOGETHER = re.compile(r"(?<=\d) (?=%)|(?<=±) (?=\d)")


def keep_together(body: str) -> str:
    """A page with no-break spaces before per cent signs and after ±."""
    parts = LITERAL.split(body)  # text, whole element, its name, text ...
    return "".join("" if place % 3 == 2 else part if place % 3 else TOGETHER.sub("\u00a0", part)
                   for place, part in enumerate(parts))


def narrow_page(body: str) -> str:
    """Mark every table of a page; everything outside the tables stays unchanged, byte for byte."""
    return TABLE.sub(lambda match: narrow(match["table"]), body)


def _on_page(app: Any, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if "body" in context:
        context["body"] = keep_together(narrow_page(context["body"]))
        if "data-explorer=" in context["body"]:  # only this page loads them
            app.add_css_file("explorer.css")
            app.add_js_file("explorer.js", loading_method="defer")
    if name == "references":
        context["body"] = ARXIV.sub(r'<a class="reference external" href="https://arxiv.org/abs/\1">arXiv:\1</a>',
                                    context["body"])
        for citation in app.env.get_domain("cite").citations:
            # a notebook's table links to the key of a work, since it does not know the number that Sphinx gives it
            place = f'<div class="citation" id="{citation.citation_id}"'
            anchored = f'<span id="{citation.key}"></span>{place}'
            context["body"] = context["body"].replace(place, anchored, 1)


def _copy_assets(app: Any) -> None:
    app.config.html_static_path.append(str(ASSETS))


def readable(signature: str | None) -> str | None:
    """The signature with an ellipsis for each default that a factory makes."""
    return signature and signature.replace("<factory>", "...")


def whole_sentence(what: str, lines: list[str]) -> None:
    """Mark a constant's first line, so that napoleon does not read the words before a colon in it as a type."""
    if what in ("data", "attribute") and lines and ": " in lines[0]:
        lines[0] = f": {lines[0]}"  # an empty type


def _skip(app: Any, what: str, name: str, found: Any, skipped: bool, options: Any) -> bool | None:
    """Omit the fields of a named tuple: its docstring describes them, while Python's say "Alias for field number 0"."""
    return True if (getattr(found, "__doc__", None) or "").startswith("Alias for field number") else None


def _set_scorer(app: Any, config: Any) -> None:
    """Let the search prefer chapters to the reference; Sphinx reads the path relative to the current folder."""
    config.html_search_scorer = str(Path(app.srcdir) / "search_scorer.js")


def _finish(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        finish_pages(Path(app.outdir))


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx: the extension is named in ``book/_config.yml``."""
    app.connect("builder-inited", _copy_assets)
    app.connect("html-page-context", _on_page)
    app.connect("autodoc-process-signature", lambda *given: (readable(given[5]), given[6]))
    # before napoleon reads the docstring
    app.connect("autodoc-process-docstring", lambda *given: whole_sentence(given[1], given[5]), priority=400)
    app.connect("autodoc-skip-member", _skip)
    app.connect("config-inited", _set_scorer)
    app.connect("build-finished", _finish, priority=900)  # after the extension that copies MathJax
    return {"parallel_read_safe": True, "parallel_write_safe": True}
