"""Notebooks that are taken home: no role, no link to a page of the book, and they run."""

import re
import zipfile
from pathlib import Path

import nbformat
import pytest

from book.site import downloads

WORKS = {"a2020": ("Lan et al., 2020", "https://arxiv.org/abs/1"), "b2021": ("Ding and Wang, 2021", "")}
CHAPTERS = {"A_stable_diffusion", "B_hyperparameters"}


@pytest.mark.parametrize(("source", "text"), [
    ("CLIP {cite}`a2020, b2021` reads.",
     "CLIP ([Lan et al., 2020](https://arxiv.org/abs/1); Ding and Wang, 2021) reads."),
    ("{cite:t}`b2021` say", "Ding and Wang, 2021 say"),
    ("see [cards](../protocol_cards.md#x)", "see cards"),
    ("see [B](B_hyperparameters.ipynb)", "see [B](B_hyperparameters.ipynb)"),
    ('in <a href="notebooks/A_stable_diffusion.html#verdicts">A</a>', "in [A](A_stable_diffusion.ipynb)"),
    ('in <a href="../rerun.html">re-running</a>', "in re-running"),
    ("[paper](https://arxiv.org/abs/1)", "[paper](https://arxiv.org/abs/1)"),
    ("rule {eq}`adaptive` and {term}`the model <VFM>`", "rule adaptive and the model"),
    ("(label)=\n# Title", "# Title"),
    ("```{note}\nOne thing.\n```", "> **Note**\n>\n> One thing."),
    ("```console\n$ make book\n```", "```console\n$ make book\n```"),
    ("`[a](b.md)`-like: $S_{ij}$", "`a`-like: $S_{ij}$"),
])
def test_what_only_the_book_understands_becomes_text(source: str, text: str) -> None:
    assert downloads.as_text(source, WORKS, CHAPTERS) == text


def test_a_downloaded_notebook_holds_no_role_and_no_link_to_a_page(repository_root: Path, tmp_path: Path) -> None:
    """From the committed notebooks, as if they had been executed."""
    bibliography = repository_root / "book" / "references.bib"
    downloads.write_downloads(repository_root / "notebooks", bibliography, tmp_path, "version 1", None)
    with zipfile.ZipFile(tmp_path / downloads.ARCHIVE) as archive:
        names = archive.namelist()
        assert len(names) == len(list((repository_root / "notebooks").glob("[A-Z]_*.ipynb")))
        for name in names:
            content = archive.read(name)
            assert content == (tmp_path / "_sources" / "notebooks" / Path(name).name).read_bytes()
            notebook = nbformat.reads(content.decode(), 4)
            nbformat.validate(notebook)
            words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
            assert not re.search(r"\{[\w:]+\}`|<a href=|\]\([^)h#][^)]*\.(md|html)|^```\{|^:::", words, re.MULTILINE)
            assert "pip install" in notebook.cells[0].source and "jupyter lab" in notebook.cells[0].source
            code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
            committed = nbformat.read(repository_root / "notebooks" / Path(name).name, 4)
            assert code == [cell.source for cell in committed.cells if cell.cell_type == "code"]


def test_an_output_keeps_one_drawing_and_no_link_to_the_book() -> None:
    output = nbformat.v4.new_output("display_data", data={"text/html": (
        '<figure><div class="on-wide"><svg></svg></div><div class="on-phone"><svg></svg></div></figure>'
        '<a href="../references.html#x">[1]</a><a href="https://arxiv.org">2</a>')})
    cell = nbformat.v4.new_code_cell("1", outputs=[output])
    found = downloads.standalone(nbformat.v4.new_notebook(cells=[cell]), "A_x", WORKS, CHAPTERS, "first")
    page = found.cells[1].outputs[0].data["text/html"]
    assert page.count("<svg") == 1 and "[1]" in page and "references" not in page and "https://arxiv.org" in page
    assert "on-phone" in cell.outputs[0].data["text/html"], "the book's own copy is as it was"


def test_every_work_of_the_bibliography_has_authors_and_a_year(repository_root: Path) -> None:
    works = downloads.references(repository_root / "book" / "references.bib")
    assert all(re.fullmatch(r".+, \d{4}", words) for words, _ in works.values())
