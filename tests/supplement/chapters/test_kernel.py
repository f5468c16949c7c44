"""A chapter's kernel runs the package's modules, not files beside the user's, and writes through no link."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from proxyclip.supplement.chapters.notebooks import execute

pytestmark = pytest.mark.notebooks


def test_a_module_beside_the_users_files_is_not_executed_and_a_link_not_followed(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("open('executed', 'w')")
    (tmp_path / "proxyclip").mkdir()
    book = nbformat.v4.new_notebook()
    book.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    book.cells = [nbformat.v4.new_code_cell("limit = 1", metadata={"tags": ["parameters"]}),
                  nbformat.v4.new_code_cell("import proxyclip, importlib.util\n"
                                            "print(proxyclip.__version__, importlib.util.find_spec('torch').origin)")]
    nbformat.write(book, tmp_path / "book.ipynb")
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "out.ipynb").symlink_to("precious")
    with pytest.warns(UserWarning, match="out.ipynb was a symbolic link to precious"):
        done = execute(tmp_path / "book.ipynb", tmp_path / "out.ipynb", {"limit": 2}, tmp_path)
    assert (tmp_path / "precious").read_text() == "kept" and not (tmp_path / "out.ipynb").is_symlink()
    (printed,) = [output.text for output in done.cells[-1].outputs]
    assert str(tmp_path) not in printed and not (tmp_path / "executed").exists()
