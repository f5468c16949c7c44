"""Executed notebooks that work alone: citations and links are text, and the first cell says how to run them."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from pybtex.database import Entry, parse_file

import proxyclip
from proxyclip.system.atomic import replacing, write_text

#: The archive, relative to the first page.
ARCHIVE = "_downloads/proxyclip_notebooks.zip"

CITATION = re.compile(r"\{cite(?::(?P<kind>\w+))?\}`(?P<keys>[^`]+)`")
ROLE = re.compile(r"\{[\w:-]+\}`(?P<text>[^`<]*?)\s*(?:<[^`>]*>)?`")
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)|<a href=\"(?P<page>[^\"]+)\">(?P<words>.*?)</a>",
                  re.DOTALL)
LABEL = re.compile(r"^\([\w:-]+\)=\n", re.MULTILINE)
ADMONITION = re.compile(r"^(?P<fence>`{3,}|:{3,})\{(?P<name>\w+)\}[ ]?(?P<title>.*)\n(?P<body>(?:.*\n)*?)(?P=fence)$",
                        re.MULTILINE)


def references(bibliography: Path) -> dict[str, tuple[str, str]]:
    """Key of each work -> "Authors, year" and its address; the address is empty where the bibliography has none."""
    return {key: (_authors(entry), _address(entry)) for key, entry in parse_file(str(bibliography)).entries.items()}


def _authors(entry: Entry) -> str:
    names = [re.sub(r"[{}]", "", " ".join(person.last_names)) for person in entry.persons.get("author", [])]
    listed = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"{listed}, {entry.fields.get('year', 'no year')}"


def _address(entry: Entry) -> str:
    if number := entry.fields.get("eprint"):
        return f"https://arxiv.org/abs/{number}"
    return f"https://doi.org/{doi}" if (doi := entry.fields.get("doi")) else entry.fields.get("url", "")


def as_text(source: str, works: Mapping[str, tuple[str, str]], chapters: set[str]) -> str:
    """Markdown of the book as Markdown that any viewer shows: no roles, no directives, no links to pages of the book.

    The works are those of :func:`references`; links stay to ``chapters``, the notebooks in the archive.
    """
    def cited(match: re.Match[str]) -> str:
        found = []
        for key in match["keys"].split(","):
            words, address = works[key.strip()]
            found.append(f"[{words}]({address})" if address else words)
        return "; ".join(found) if match["kind"] in ("t", "alp") else f"({'; '.join(found)})"

    def linked(match: re.Match[str]) -> str:
        text, target = (match["text"], match["target"]) if match["target"] else (match["words"], match["page"])
        if re.match(r"\w+:", target):
            return f"[{text}]({target})"
        name = Path(target.partition("#")[0]).stem
        return f"[{text}]({name}.ipynb)" if name in chapters else text

    def quoted(match: re.Match[str]) -> str:
        title = match["title"] or match["name"].capitalize()
        body = [line for line in match["body"].strip().splitlines() if not re.match(r":\w+:", line)]
        return "\n".join(f"> {line}".rstrip() for line in [f"**{title}**", "", *body])

    source = ADMONITION.sub(quoted, LABEL.sub("", source))
    return ROLE.sub(lambda match: match["text"], LINK.sub(linked, CITATION.sub(cited, source)))


def introduction(name: str, edition: str, repository: str | None) -> str:
    """The first cell of a notebook that was taken home."""
    place = f"git+{repository}" if repository else "PATH_OF_THE_CLONE_OR_WHEEL"
    return (f"> This is chapter {name[0]} of *ProxyCLIP: the supplement, executable*, with its outputs ({edition}). "
            "To read it, nothing has to be installed. To run it, install Python 3.11 or newer and the package "
            "(the small models and scenes are inside, nothing is downloaded):\n>\n"
            f"> ```console\n> $ pip install \"proxyclip[chapters] @ {place}\" jupyterlab\n"
            f"> $ jupyter lab {name}.ipynb\n> ```\n"
            f">\n> The cell of parameters says what can be changed; results go to the folder `runs`. "
            f"Written with proxyclip {proxyclip.__version__}.")


def standalone(
    executed: nbformat.NotebookNode, name: str, works: Mapping[str, tuple[str, str]], chapters: set[str], first: str
) -> nbformat.NotebookNode:
    """A copy of an executed notebook called ``name`` that works without the book, with a new first cell.

    Works and chapters are as for :func:`as_text`.
    """
    copy = nbformat.from_dict(executed)
    for cell in copy.cells:
        if cell.cell_type == "markdown":
            cell.source = as_text(cell.source, works, chapters)
        for output in cell.get("outputs", []):
            for kind, content in output.get("data", {}).items():
                if kind == "text/html":
                    output.data[kind] = _for_a_notebook("".join(content))
                elif kind == "text/markdown":
                    output.data[kind] = as_text("".join(content), works, chapters)
    copy.cells.insert(0, nbformat.v4.new_markdown_cell(first, id=f"how-to-run-{name[0].lower()}"))
    return copy


def _for_a_notebook(page: str) -> str:
    """HTML of an output without the drawing for phones, and without links to pages of the book."""
    if "on-phone" not in page and "href=" not in page:
        return page
    soup = BeautifulSoup(page, "html.parser")
    for drawing in soup.select(".on-phone"):
        drawing.decompose()
    for link in soup.select("a[href]"):
        if not re.match(r"\w+:", str(link["href"])):
            link.unwrap()
    return str(soup)


def write_downloads(executed: Path, bibliography: Path, html: Path, edition: str, repository: str | None) -> None:
    """Put every executed notebook where the theme's button looks for it, and all of them into one archive.

    ``bibliography`` is BibTeX, ``html`` the folder of the built pages, and ``repository`` the address from which the
    package can be installed, if there is one.
    """
    works, notebooks = references(bibliography), sorted(executed.glob("[A-Z]_*.ipynb"))
    names = {path.stem for path in notebooks}
    with replacing(html / ARCHIVE) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in notebooks:
            first = introduction(path.stem, edition, repository)
            text = nbformat.writes(standalone(nbformat.read(path, 4), path.stem, works, names, first))
            write_text(html / "_sources" / "notebooks" / path.name, text)
            archive.writestr(f"proxyclip_notebooks/{path.name}", text)
