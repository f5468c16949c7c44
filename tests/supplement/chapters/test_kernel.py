"""A chapter's kernel runs the package's modules, not files beside the user's, and writes through no link."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from proxyclip.supplement.chapters.notebooks import execute

pytestmark = pytest.mark.notebooks


def write_notebook(path: Path, code: str) -> None:
    """A notebook of one parameter and one cell."""
    book = nbformat.v4.new_notebook()
    book.metadata.kernelspec = {"name": "python3", "display_name": "", "language": "python"}
    book.cells = [nbformat.v4.new_code_cell("limit = 1", metadata={"tags": ["parameters"]}),
                  nbformat.v4.new_code_cell(code)]
    nbformat.write(book, path)


def test_a_module_beside_the_users_files_is_not_executed_and_a_link_not_followed(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("open('executed', 'w')")
    (tmp_path / "proxyclip").mkdir()
    write_notebook(tmp_path / "book.ipynb", "import proxyclip, importlib.util\n"
                   "print(proxyclip.__version__, importlib.util.find_spec('torch').origin)")
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "out.ipynb").symlink_to("precious")
    with pytest.warns(UserWarning, match="out.ipynb was a symbolic link to precious"):
        done = execute(tmp_path / "book.ipynb", tmp_path / "out.ipynb", {"limit": 2}, tmp_path)
    assert (tmp_path / "precious").read_text() == "kept" and not (tmp_path / "out.ipynb").is_symlink()
    (printed,) = [output.text for output in done.cells[-1].outputs]
    assert str(tmp_path) not in printed and not (tmp_path / "executed").exists()


RUN = """
import sys
from pathlib import Path
from proxyclip.cli.app import main
from proxyclip.supplement.chapters import notebooks
notebooks.chapter_notebooks = lambda: [Path("X_long.ipynb")]
sys.argv = ["proxyclip", "run", "X"]
main()
"""


def test_ctrl_c_ends_a_chapter_within_seconds_with_one_sentence_and_no_kernel_is_left(tmp_path: Path) -> None:
    work = ("import os, signal, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: open('terminated', 'w').close())\n"
            "open('pid', 'w').write(str(os.getpid()))\nprint('working')\n"
            "while True: time.sleep(0.1)")
    write_notebook(tmp_path / "X_long.ipynb", work)
    process = subprocess.Popen([sys.executable, "-c", RUN], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    kernel, begun = int((tmp_path / "pid").read_text()), time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    print(f"ended after {time.monotonic() - begun:.1f} s")
    assert process.returncode == 130
    assert [line for line in said.splitlines() if line.strip() and line != "working"] == [
        "X_long: running", "X_long was interrupted; what it has measured is kept, and the same command continues it"]
    assert (tmp_path / "terminated").is_file()  # it had the time to save
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    assert nbformat.read(tmp_path / "runs" / "X_long.ipynb", 4).cells  # the partial notebook can be opened
