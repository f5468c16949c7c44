"""What the Sphinx extension writes into the head of a page, and how it shows signatures."""

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

from book.site.sphinx_extension import LONGEST, description, link_terms, linked_data, readable, whole_sentence
from proxyclip.segment import ProxyCLIP


def test_a_page_is_described_by_its_first_paragraph_cut_at_a_word() -> None:
    first = "The attention of a patch says which other patches it reads. " * 6
    found = description(publish_doctree(f"Title\n=====\n\nShort.\n\n{first}\n\nAnother paragraph."))
    assert found.startswith("The attention of a patch") and len(found) <= LONGEST + 2
    assert first.startswith(found.removesuffix(" …")) and found.endswith("…")


def test_the_first_use_of_a_term_leads_to_the_glossary() -> None:
    page = publish_doctree("Every patch\n===========\n\n``patch`` Two *patches*, a patch in a window, patch tokens.\n\n"
                           "A window, a `VFM <g.html#VFM>`_, a VFM, a swindow, and its mIoU.")
    link_terms(page, {term: f"g.html#{term}" for term in ("patch", "patch tokens", "window", "VFM", "mIoU")})
    found = [(link.astext(), link["refuri"]) for link in page.findall(nodes.reference)]
    assert found == [("patches", "g.html#patch"), ("window", "g.html#window"), ("patch tokens", "g.html#patch tokens"),
                     ("VFM", "g.html#VFM"), ("mIoU", "g.html#mIoU")]
    assert page.astext().endswith("A window, a VFM, a VFM, a swindow, and its mIoU.")


def test_machines_find_the_paper_the_software_and_its_version(repository_root: Path) -> None:
    script = linked_data(repository_root / "CITATION.cff", "1.2.3")
    content = json.loads(re.sub("<[^>]+>", "", script))
    (software,) = content["@graph"]
    assert software["version"] == "1.2.3" and software["isBasedOn"]["author"][0]["familyName"] == "Lan"


def test_text_of_the_citation_cannot_end_the_script(tmp_path: Path) -> None:
    (tmp_path / "C.cff").write_text("title: '</script><b>'\nlicense: MIT\n"
                                     "references: [{title: t, authors: [], year: 1}]")
    assert linked_data(tmp_path / "C.cff", "1").count("</script>") == 1


@pytest.mark.parametrize(("kind", "mark"), [("data", ": "), ("function", "")])
def test_a_colon_in_the_description_of_a_constant_ends_no_type(kind: str, mark: str) -> None:
    lines = ["Chapters that measure speed: nothing runs beside them."]
    whole_sentence(kind, lines)
    assert lines == [f"{mark}Chapters that measure speed: nothing runs beside them."]


def test_the_signature_of_a_dataclass_is_python() -> None:
    raw = str(inspect.signature(ProxyCLIP))
    assert "<factory>" in raw
    with pytest.raises(SyntaxError):
        ast.parse(f"def f{raw}: ...")
    ast.parse(f"def f{readable(raw)}: ...")
    assert readable(None) is None
