"""The last steps on the built pages: only the files of the theme that they use, and no link that leads nowhere."""

import re
from pathlib import Path

#: What the pages load of MathJax: the component that reads TeX and writes HTML, its fonts, and extensions of TeX.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2/", "input/tex/extensions/")
NOT_USED = ("all-packages.js", "mhchem.js")
#: Files of the theme that no page loads: maps of its sources, translations, fonts that it has in a smaller format.
OF_THE_THEME = ("**/*.map", "locales/**/*", "vendor/**/*.ttf")

#: The link from source code back to its description.
BACK_LINK = re.compile(r'<a class="viewcode-back" href="(?P<href>[^"]+)">\[docs\]</a>')


def prune_mathjax(static: Path) -> None:
    """Delete the parts of MathJax that no page of this book loads: speech, menus, other inputs and outputs.

    ``static`` is the folder ``_static`` of the built pages.
    """
    root = static / "mathjax"
    for path in sorted(root.rglob("*"), reverse=True):  # a folder comes after its files
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not name.startswith(MATHJAX) or name.endswith(NOT_USED):
            path.unlink()


def prune_theme(static: Path) -> None:
    """Delete the files of the theme that no page of this book loads; ``static`` is as in :func:`prune_mathjax`."""
    for pattern in OF_THE_THEME:
        for path in static.glob(pattern):
            if path.is_file():
                path.unlink()


def without_dead_links(page: Path, text: str, ids: dict[Path, set[str]]) -> str:
    """The HTML of a page of source code without the links that Sphinx makes to descriptions that no page has.

    ``ids`` holds the ids on each page that has been read; this function adds to them.
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
    """Delete files that no page loads, and dead links from the pages of source code."""
    prune_mathjax(html / "_static")
    prune_theme(html / "_static")
    ids: dict[Path, set[str]] = {}
    for path in (html / "_modules").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        path.write_text(without_dead_links(path, text, ids), encoding="utf-8")
