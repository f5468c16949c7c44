"""The book runs exactly those notebooks whose inputs changed."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import nbformat
import pytest
import yaml
from hidden_packages import hide

from book import __main__ as command, build, running
from book.build import BookError, configuration, repository_url, table_of_contents
from book.checkout import Layout, chapter_key, chapter_stamp, is_current
from book.running import Job, run_chapter, run_jobs
from book.stamps import Stamp
from proxyclip.supplement.chapters.notebooks import NotebookError, find_root, run_one, select


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A checkout with one notebook of three cells, in which the package finds it."""
    cells = [
        nbformat.v4.new_markdown_cell("# Z"),
        nbformat.v4.new_code_cell('output_dir = "nowhere"\nfactor = 2', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "import json, pathlib\n"
            'pathlib.Path(output_dir, "Z.json").write_text(json.dumps(3 * factor))\n'
            "3 * factor"
        ),
    ]
    for folder in ("book", "notebooks", "proxyclip"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book" / "_config.yml").write_text("title: T\n")
    contents = {"format": "jb-book", "root": "intro", "parts": [{"chapters": [{"file": "notebooks/Z_test"}]}]}
    (tmp_path / "book" / "_toc.yml").write_text(yaml.safe_dump(contents))
    (tmp_path / "proxyclip" / "module.py").write_text("value = 1\n")
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "notebooks" / "Z_test.ipynb")
    monkeypatch.setattr("proxyclip.supplement.chapters.notebooks.find_root", lambda: tmp_path)
    return Layout(tmp_path)


def add_cell(notebook: Path, source: str) -> None:
    content = nbformat.read(notebook, as_version=4)
    content.cells.append(nbformat.v4.new_code_cell(source))
    nbformat.write(content, notebook)


def test_a_chapter_that_ran_is_current_until_something_it_reads_changes(checkout: Layout) -> None:
    (notebook,) = checkout.chapters()
    assert not is_current(checkout, notebook)
    run_chapter(checkout, notebook)
    assert is_current(checkout, notebook)
    assert json.loads((checkout.sources / "data" / "Z.json").read_text()) == 6

    executed = nbformat.read(checkout.executed / notebook.name, as_version=4)
    assert executed.cells[-1].outputs[0]["data"]["text/plain"] == "6"
    assert str(checkout.root) not in (checkout.executed / notebook.name).read_text()
    assert "injected" not in (checkout.executed / notebook.name).read_text()

    (checkout.sources / "data" / "Z.json").unlink()
    assert not is_current(checkout, notebook), "its record is missing"


@pytest.mark.parametrize(("injected", "shown"), [
    ('# Parameters\noutput_dir = "/tmp/x"', []),
    ('# Parameters\nprofile = "paper"\noutput_dir = "/tmp/x"\ndata = "/data"\nlimit = 1',
     ['# of this run\nprofile = "paper"\nlimit = 1']),
])
def test_a_page_shows_the_parameters_of_its_run_and_no_folder(injected: str, shown: list[str]) -> None:
    cell = nbformat.v4.new_code_cell(injected, metadata={"tags": ["injected-parameters"]})
    found = running._for_readers(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T"), cell]))
    assert [cell.source for cell in found.cells[1:]] == shown


def test_records_that_another_chapter_saves_meanwhile_are_not_taken_for_its_own(checkout: Layout) -> None:
    (notebook,) = checkout.chapters()
    add_cell(notebook, 'other = pathlib.Path("../book/data/Y.json")\nother.parent.mkdir()\nother.write_text("{}")')
    run_chapter(checkout, notebook)
    (checkout.records / "Y.json").unlink()
    assert is_current(checkout, notebook)


def test_progress_bars_are_not_in_the_book(checkout: Layout) -> None:
    (notebook,) = checkout.chapters()
    add_cell(notebook, "import sys\n"
             "print('continuing: 2 images are counted already in runs/Z.progress', file=sys.stderr)\n"
             "print('voc21:  50%|##   | 8/16 [00:02<00:02, 3.10image/s]', file=sys.stderr)\nprint('a result')")
    run_chapter(checkout, notebook)
    executed = nbformat.read(checkout.executed / notebook.name, as_version=4)
    outputs = [output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.output_type == "stream"] == ["a result\n"]


@pytest.mark.parametrize(("path", "reruns"), [
    ("proxyclip/attention.py", True), ("constraints.txt", True), ("proxyclip/tiny/weights/x.safetensors", True),
    ("proxyclip/rules/masking.py", True), ("proxyclip/cli/app.py", False), ("book/build.py", False),
    ("training/ship.py", False), ("notebooks/Y_other.ipynb", False),
])
def test_the_key_of_a_chapter_covers_what_it_reads_and_nothing_else(checkout: Layout, path: str, reruns: bool) -> None:
    (notebook,) = checkout.chapters()
    before = chapter_key(checkout, notebook)
    (checkout.root / path).parent.mkdir(parents=True, exist_ok=True)
    with (checkout.root / path).open("a") as file:
        file.write("more = 1\n")
    assert (chapter_key(checkout, notebook) != before) is reruns


@pytest.mark.parametrize(("text", "reruns"), [
    ('"""Another docstring."""\n\nvalue = 1  # a comment\n', False), ("value = 2\n", True),
])
def test_a_comment_or_a_docstring_re_runs_nothing_and_a_changed_number_everything(
    checkout: Layout, text: str, reruns: bool
) -> None:
    (notebook,) = checkout.chapters()
    before = chapter_key(checkout, notebook)
    (checkout.root / "proxyclip" / "module.py").write_text(text)
    assert (chapter_key(checkout, notebook) != before) is reruns


def test_new_prose_reaches_the_page_without_a_run(checkout: Layout) -> None:
    (notebook,) = checkout.chapters()
    run_chapter(checkout, notebook)
    page = checkout.executed / notebook.name
    written = page.stat().st_mtime_ns
    running.renew_prose(checkout, notebook)
    assert page.stat().st_mtime_ns == written, "else all pages would be built again"
    content = nbformat.read(notebook, as_version=4)
    content.cells[0].source = "# Another title"
    content.cells.append(nbformat.v4.new_markdown_cell("More words."))
    nbformat.write(content, notebook)
    assert is_current(checkout, notebook)
    running.renew_prose(checkout, notebook)
    shown = nbformat.read(page, as_version=4).cells
    assert [shown[0].source, shown[-1].source] == ["# Another title", "More words."]
    assert shown[2].outputs[0]["data"]["text/plain"] == "6", "the outputs stay"


def test_a_damaged_stamp_means_that_the_chapter_runs_again(checkout: Layout) -> None:
    (notebook,) = checkout.chapters()
    run_chapter(checkout, notebook)
    chapter_stamp(checkout, notebook).path.write_text("{")
    with pytest.warns(UserWarning, match="Z_test.json is damaged"):
        assert not is_current(checkout, notebook)


@pytest.mark.parametrize("shows", [True, False])
def test_a_chapter_that_shows_the_optional_model_runs_again_once_it_is_installed(
    checkout: Layout, shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notebook,) = checkout.chapters()
    if shows:
        add_cell(notebook, "from proxyclip.supplement.measures import real_photographs")
    complete = chapter_key(checkout, notebook)
    hide(monkeypatch, "skimage")
    assert (chapter_key(checkout, notebook) != complete) is shows


def test_a_cell_that_fails_is_reported_in_one_sentence_and_leaves_no_page(checkout: Layout) -> None:
    (notebook,) = checkout.chapters()
    add_cell(notebook, 'raise ValueError("beta must be positive, got -1.0")')
    with pytest.raises(NotebookError, match="Z_test.ipynb stopped: ValueError: beta must be positive, got -1.0"):
        run_chapter(checkout, notebook)
    assert not (checkout.executed / notebook.name).exists()
    assert not is_current(checkout, notebook)
    assert not (checkout.records / "Z.json").exists(), "saved before the cell that failed"


@pytest.fixture
def run_side_by_side(
    monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[str], Callable[[int, str], None]], None]:
    """Run chapters on three cores, with a function of threads and name in place of each notebook."""

    def run(names: list[str], chapter: Callable[[int, str], None]) -> None:
        def instead(threads: int, work: Callable[[], None]) -> str:
            chapter(threads, next(name for name, job in jobs.items() if job.work is work))
            return "1 s"

        monkeypatch.setattr(running, "cores", lambda: 3)
        monkeypatch.setattr(running, "ProcessPoolExecutor", lambda places, context: ThreadPoolExecutor(places))
        monkeypatch.setattr(running, "_timed", instead)
        jobs = {name: Job(name, partial(int)) for name in names}
        run_jobs([jobs[name] for name in names if name in running.ALONE],
                 [jobs[name] for name in names if name not in running.ALONE])

    return run


def test_chapters_share_the_cores_and_the_one_that_measures_speed_has_them_all(run_side_by_side) -> None:
    together = threading.Barrier(3, timeout=30)
    (alone,) = running.ALONE
    seen: list[tuple[str, int]] = []

    def chapter(threads: int, name: str) -> None:
        seen.append((name, threads))
        if name != alone:
            together.wait()
            assert (alone, 3) in seen

    run_side_by_side(["A", "B", alone, "D"], chapter)
    assert seen[0] == (alone, 3) and sorted(seen[1:]) == [("A", 1), ("B", 1), ("D", 1)]


def test_others_start_once_the_speed_is_measured_and_the_last_stage_waits_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "cores", lambda: 2)
    monkeypatch.setattr(running, "ProcessPoolExecutor", lambda places, context: ThreadPoolExecutor(places))
    seen, beside = [], threading.Event()

    def measures() -> None:
        seen.append("alone")
        (tmp_path / "C.progress" / "tables").mkdir(parents=True)
        (tmp_path / "C.progress" / "tables" / "speed.json").write_text("{}")
        assert beside.wait(30)
        time.sleep(0.2)
        seen.append("measured")

    def another() -> None:
        seen.append("other")
        beside.set()

    run_jobs([Job("C", measures, tmp_path)], [Job("A", another), Job("B", lambda: None)],
             [Job("pages", lambda: seen.append("pages"))])
    assert seen == ["alone", "other", "measured", "pages"]


def test_a_table_that_a_run_on_other_inputs_saved_starts_nothing(
    checkout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    (notebook,) = checkout.chapters()
    monkeypatch.setattr(running, "ALONE", (notebook.stem,))
    own = checkout.build / "running" / notebook.stem
    (own / "tables").mkdir(parents=True)
    (own / "tables" / "speed.json").write_text("{}")
    Stamp(own / "begun.json").write("other inputs")
    assert running.chapter_job(checkout, notebook, "C").keeps_waiting()
    (own / "tables").mkdir(parents=True)
    (own / "tables" / "speed.json").write_text("{}")
    assert not running.chapter_job(checkout, notebook, "C").keeps_waiting(), "a run on the same inputs is continued"


@pytest.mark.parametrize(("broken", "sentence"), [
    (BrokenProcessPool("terminated"), "error: a process of the build was killed"),
    (OSError(28, "No space left on device", "page"), "error: [Errno 28] No space left on device: 'page'")])
def test_a_killed_process_and_a_full_disk_are_said_in_one_sentence(
    broken: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stops(**_: object) -> None:
        raise broken

    monkeypatch.setattr(command, "build_book", stops)
    assert command.main([]) == 1
    assert capsys.readouterr().err.startswith(sentence)


def test_without_jupyter_book_no_chapter_starts(checkout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "jupyter_book")
    with pytest.raises(BookError, match=r'not installed: pip install "proxyclip\[book\]"'):
        build.build_book(checkout.root)
    assert not (checkout.build / "running").exists()


def test_after_a_chapter_fails_no_other_starts_and_those_that_run_are_finished(
    run_side_by_side, capsys: pytest.CaptureFixture[str]
) -> None:
    started = threading.Barrier(3, timeout=30)
    seen: list[str] = []

    def chapter(threads: int, name: str) -> None:
        started.wait()
        if name == "B":
            raise NotebookError("B stopped: ValueError: no")
        time.sleep(0.5)
        seen.append(name)

    with pytest.raises(NotebookError, match="B stopped: ValueError: no"):
        run_side_by_side(["A", "B", "D", "E"], chapter)
    assert sorted(seen) == ["A", "D"]
    assert "B: stopped" in capsys.readouterr().out


def test_a_parameter_that_a_notebook_does_not_have_is_refused(checkout: Layout) -> None:
    with pytest.raises(NotebookError, match="Z_test has no parameter beta; it has output_dir, factor"):
        run_one("Z", {"beta": "5"}, checkout.root / "out.ipynb")


def test_the_contents_omit_a_chapter_that_does_not_exist_and_must_list_every_other(checkout: Layout) -> None:
    assert table_of_contents(checkout, [])["parts"] == []
    assert len(table_of_contents(checkout, checkout.chapters())["parts"]) == 1
    other = checkout.notebooks / "Y_other.ipynb"
    with pytest.raises(BookError, match="does not list notebooks/Y_other"):
        table_of_contents(checkout, [*checkout.chapters(), other])


def test_a_chapter_is_chosen_by_its_letter_or_its_name(checkout: Layout) -> None:
    chapters = checkout.chapters()
    assert select(chapters, ["Z"]) == select(chapters, ["Z_test"]) == select(chapters, []) == chapters
    with pytest.raises(NotebookError, match="no chapter Q; there is: Z_test"):
        select(chapters, ["Q"])


def test_launch_buttons_appear_only_where_the_repository_is_public(
    checkout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert repository_url(checkout.root) is None
    assert "launch_buttons" not in configuration(checkout)
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/book")
    assert configuration(checkout)["repository"]["url"] == "https://github.com/someone/book"
    assert configuration(checkout)["launch_buttons"]["colab_url"]


def test_outside_a_checkout_one_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="inside a clone of the repository"):
        find_root(tmp_path)
