"""The book's Sphinx extension: what each page says about itself, the scripts it loads, and readable signatures."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from markupsafe import Markup

from book.site import downloads, finish, previews
from proxyclip.explorer.assets import ASSETS

#: What is not running text, or a link already.
NO_LINK = (nodes.reference, nodes.literal, nodes.math, nodes.title, nodes.term, nodes.caption, nodes.raw)
#: Letters of a page's description.
LONGEST = 180
#: Script or style that a page loads if it holds an element with this attribute.
ON_DEMAND = {"data-explorer": ("explorer.css", "explorer.js"), "data-published": ("published.js",)}


def description(doctree: nodes.document) -> str:
    """The first paragraph of a page, cut at a word."""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if len(text) > 60 and not isinstance(paragraph.parent, nodes.list_item):
            return text if len(text) <= LONGEST else f"{text[:LONGEST].rpartition(' ')[0]} …"
    return ""


def link_terms(doctree: nodes.document, places: Mapping[str, str]) -> None:
    """Link a page's first use of each term of the glossary, in running text, to the address of its definition.

    A term that the page links already is left alone.
    """
    linked = {str(reference.get("refuri", "")) for reference in doctree.findall(nodes.reference)}
    left = {term: place for term, place in places.items() if place not in linked}
    for text in list(doctree.findall(nodes.Text)):
        above, node = [], text.parent
        while node is not None:
            above.append(node)
            node = node.parent
        running = any(isinstance(node, nodes.paragraph) for node in above)
        if not running or any(isinstance(node, NO_LINK) for node in above):
            continue
        parts, rest = [], text.astext()
        while left:
            longest_first = "|".join(map(re.escape, sorted(left, key=len, reverse=True)))
            if (found := re.search(rf"\b({longest_first})(e?s)?\b", rest)) is None:
                break
            parts += [nodes.Text(rest[: found.start()]),
                      nodes.reference("", found[0], refuri=left.pop(found[1]), internal=True, classes=["term"])]
            rest = rest[found.end() :]
        if parts:
            text.parent.replace(text, [*parts, nodes.Text(rest)])


def _link_terms(app: Any, doctree: nodes.document, name: str) -> None:
    if app.builder.format == "html" and name != "glossary" and not name.startswith("api"):
        objects = app.env.get_domain("std").objects.items()
        terms = {term: place for (kind, term), place in objects if kind == "term" and len(term) > 1}  # no single letter
        link_terms(doctree, {term: f"{app.builder.get_relative_uri(name, page)}#{label}"
                             for term, (page, label) in terms.items()})


def linked_data(citation: Path, version: str) -> Markup:
    """The paper and the software for machines (JSON-LD), from ``CITATION.cff``."""
    known = yaml.safe_load(citation.read_text(encoding="utf-8"))
    paper = known["references"][0]
    authors = [{"@type": "Person", "givenName": who.get("given-names", ""), "familyName": who.get("family-names", "")}
               for who in paper["authors"]]
    software = {"@type": "SoftwareSourceCode", "name": known["title"], "version": version,
                "license": known["license"], "programmingLanguage": "Python"}
    article = {"@type": "ScholarlyArticle", "name": paper["title"], "author": authors,
               "datePublished": str(paper["year"])}
    content = json.dumps({"@context": "https://schema.org", "@graph": [software | {"isBasedOn": article}]})
    return Markup('<script type="application/ld+json">{}</script>').format(Markup(content.replace("<", "\\u003c")))


def _on_page(app: Any, name: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    tags = Markup(context.get("metatags", ""))  # of Sphinx, HTML already
    if doctree is not None and 'name="description"' not in tags:
        tags += Markup('<meta name="description" content="{}">').format(description(doctree))
    if name == app.config.root_doc:
        tags += linked_data(Path(app.srcdir).parent / "CITATION.cff", app.config.version)
    context["metatags"] = tags
    for attribute, files in ON_DEMAND.items():
        if attribute in context.get("body", ""):  # only this page loads them
            for file in files:
                if file.endswith(".css"):
                    app.add_css_file(file)
                else:
                    app.add_js_file(file, loading_method="defer")


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


def _configure(app: Any, config: Any) -> None:
    """Let the search prefer chapters to the reference; Sphinx reads the path relative to the current folder."""
    config.html_search_scorer = str(Path(app.srcdir) / "search_scorer.js")


def _finish(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        source, html = Path(app.srcdir), Path(app.outdir)
        finish.finish_pages(html)
        context = app.config.html_context
        downloads.write_downloads(source / "notebooks", source / "references.bib", html, context["edition"],
                                  context.get("install_from"))
        previews.write_previews(html, [name for name in app.env.found_docs])


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx: the extension is named in ``book/_config.yml``."""
    app.connect("builder-inited", _copy_assets)
    app.connect("html-page-context", _on_page)
    app.connect("doctree-resolved", _link_terms)
    app.connect("autodoc-process-signature", lambda *given: (readable(given[5]), given[6]))
    # before napoleon reads the docstring
    app.connect("autodoc-process-docstring", lambda *given: whole_sentence(given[1], given[5]), priority=400)
    app.connect("autodoc-skip-member", _skip)
    app.connect("config-inited", _configure)
    app.connect("build-finished", _finish, priority=900)  # after the extension that copies MathJax
    return {"parallel_read_safe": True, "parallel_write_safe": True}
