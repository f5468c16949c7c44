"""Every notebook runs as committed, gives the numbers of its baseline, and refuses what makes no sense.

``make baselines`` overwrites the baselines; do that only when a number is meant to move.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import conftest
import nbformat
import pytest
import regression
import torch
import user_machine
from launch import in_fork

import proxyclip as pc
from proxyclip.supplement import parameters, result_files
from proxyclip.supplement.records import Record, Result

#: Columns of code that fit the book's page on a screen of 1280 pixels; notebooks/ruff.toml has the same number.
PAGE_COLUMNS = 86
FENCED = re.compile(r"^```\S*\n(.*?)^```", re.MULTILINE | re.DOTALL)
by_name = pytest.mark.parametrize("notebook", regression.NOTEBOOKS, ids=lambda path: path.stem)


def baseline_of(notebook: Path) -> Path:
    return regression.BASELINES / f"{notebook.stem}.json"


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Result]:
    """A notebook's run on its reduced parameters, done once."""
    return cache(lambda notebook: regression.reduced_run(notebook, tmp_path_factory.mktemp(notebook.stem)))


@pytest.fixture(scope="module")
def sweep() -> Path:
    return next(path for path in regression.NOTEBOOKS if path.stem.startswith("B_"))


# ------------------------------------------------------------------------------------------------------------- as files


@by_name
def test_a_notebook_is_committed_without_outputs_and_with_one_parameters_cell(notebook: Path) -> None:
    content = nbformat.read(notebook, 4)
    nbformat.validate(content)
    assert content.cells[0].cell_type == "markdown" and content.cells[0].source.startswith("# ")
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert not {"widgets", "papermill"} & content.metadata.keys()
    if not notebook.stem.startswith("H_"):  # which judges no claim of the supplement
        assert "(result, run.others())" in code[-1].source, "other runs are not shown beside this one"
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert (content.metadata.kernelspec.name, content.metadata.kernelspec.language) == ("python3", "python")
    defined: dict[str, object] = {}
    exec(tagged[0].source, defined)
    assert defined["profile"] == "tiny" and defined["device"] == "cpu"


@by_name
def test_code_fits_the_page_of_the_book(notebook: Path) -> None:
    """A cell has at most 16 lines, and no line of code or of a command has to be scrolled."""
    cells = nbformat.read(notebook, 4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    commands = [block for cell in cells if cell.cell_type == "markdown" for block in FENCED.findall(cell.source)]
    assert not [source for source in code if source.count("\n") >= 16]
    assert not [line for block in code + commands for line in block.splitlines() if len(line) > PAGE_COLUMNS]


@by_name
def test_at_most_a_third_of_the_code_of_a_notebook_is_folded_and_none_is_removed(notebook: Path) -> None:
    tags = [set(cell.metadata.get("tags", [])) for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    assert not [found for found in tags if found & {"remove-input", "remove-cell"}]
    assert 3 * len([found for found in tags if found & {"hide-input", "hide-cell"}]) <= len(tags)


# ---------------------------------------------------------------------------------------------------------- as numbers


@pytest.mark.notebooks
@by_name
def test_the_numbers_of_a_notebook_are_those_of_its_baseline(
    notebook: Path, reduced: Callable[[Path], Result], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    result = reduced(notebook)
    assert result.records and (result.verdicts or result.checks)
    path = baseline_of(notebook)
    if request.config.getoption("--write-baselines"):
        steady = [replace(record, value=0.0) if record.unit in regression.OF_THE_MACHINE else record
                  for record in result.records]
        kept = {"weights_sha256", "seed", "limit", "parameters"}
        provenance = {name: value for name, value in result.provenance.items() if name in kept}
        result_files.save(path, replace(result, records=steady, provenance=provenance))
        pytest.skip(f"wrote {path.name}")
    if not path.is_file():
        pytest.fail(f'no baseline {path.name}; write it with "make baselines"')
    before = result_files.load(path)
    differing = regression.moved(before.records, result.records)
    if differing:
        weights = regression.other_weights(before, result)
        why = f" (its baseline was made with other weights: {', '.join(weights)})" if weights else ""
        executed = regression.executed(notebook, tmp_path)  # for the maintainer to look at
        pytest.fail(regression.report(differing, why, executed), pytrace=False)


@pytest.mark.notebooks
def test_two_threads_stay_within_tolerance_of_one(
    sweep: Path, reduced: Callable[[Path], Result], tmp_path: Path
) -> None:
    """That one thread gives the same bits again is asked of the installed package."""
    first, threaded = reduced(sweep).records, default_alone(sweep, tmp_path / "two", 2).records
    again = {record.key() for record in threaded}
    assert len(again) > 5 and not regression.moved([one for one in first if one.key() in again], threaded)


def default_alone(sweep: Path, folder: Path, threads: int = 1) -> Result:
    """A short run of the sweep in a process of its own, since threads of OpenMP would stay in this one."""
    def run() -> None:
        torch.set_num_threads(threads)
        user_machine.run_notebook(sweep, **regression.DEFAULT_ALONE, output_dir=str(folder))

    in_fork(run)
    return result_files.load(folder / "B.json")


@pytest.mark.notebooks
def test_a_changed_constant_is_caught(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The threshold of the adaptive rule made 1.5 times the mean, whatever beta is."""
    monkeypatch.setattr(pc.Adaptive, "scale_and_threshold", lambda rule, mean: (rule.gamma, 1.5 * mean))
    after = default_alone(sweep, tmp_path / "after")
    before = result_files.load(baseline_of(sweep))
    assert not regression.other_weights(before, after), "the baseline was made with other weights; make baselines"
    differing = [entry for entry in regression.moved(before.records, after.records) if entry.value is not None]
    assert ("adaptive:1.2,3", "miou") in {(entry.record.rule, entry.record.metric) for entry in differing
                                          if entry.baseline is not None}, "the default rule's mIoU did not move"


# --------------------------------------------------------------------------------------------------------- as typed


@pytest.mark.notebooks
def test_what_makes_no_sense_stops_a_notebook_with_one_sentence(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROXYCLIP_DATA", raising=False)
    for given, sentence in (({"betas": "[-1]"}, 'got -1 (parameter "betas" of chapter B)'),
                            ({"profile": "paper"}, "chapter B cannot start on profile paper: voc21: no data")):
        with pytest.raises(parameters.ChapterError, match=re.escape(sentence)):
            user_machine.run_notebook(sweep, **given, output_dir=str(tmp_path))
    assert not (tmp_path / "B.json").exists()


# ---------------------------------------------------------------------------------------------------- the comparison


def one(value: float, unit: str = "%", rule: str = "qk") -> Record:
    return Record("E", "tiny", "miou", value, unit, "tiny/voc", rule=rule, error=0.25)


def test_the_comparison_lists_what_moved_what_is_missing_and_what_is_new() -> None:
    before = [one(20.0), one(30.0, rule="qq")]
    after = [one(20.5), one(31.0, rule="kk")]
    differing = regression.moved(before, after)
    assert [(entry.baseline, entry.value) for entry in differing] == [(20.0, 20.5), (30.0, None), (None, 31.0)]
    rows = [line.strip("| ").split(" | ") for line in regression.moved_table(differing).splitlines()[2:]]
    assert rows[0] == ["E", "tiny miou % tiny/voc qk", "20.0000", "20.5000", "+0.5000", "+2.00"]
    assert [row[2:4] for row in rows[1:]] == [["30.0000", "missing"], ["missing", "31.0000"]]


def test_a_maintainer_reads_what_moved_in_the_terminal_the_summary_and_the_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regression, "MOVED", tmp_path / "moved")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "E_x.ipynb").write_text("{}")
    for _ in range(2):
        said = regression.report(regression.moved([one(20.0)], [one(21.0)]), " (other weights)", tmp_path / "E_x.ipynb")
    assert said.startswith("### 1 numbers of E_x moved (other weights)\n\n| chapter | number |")
    assert (tmp_path / "summary.md").read_text() == 2 * f"{said}\n", "a chapter's table follows another's"
    assert (tmp_path / "moved" / "E_x.md").read_text() == said and (tmp_path / "moved" / "E_x.ipynb").exists()


@pytest.mark.parametrize(("chapter", "kept"), [("", ["D_x", "E_x"]), ("D", ["D_x"])])
def test_one_chapter_writes_its_baseline_alone(chapter: str, kept: list[str]) -> None:
    options = {"--write-baselines": True, "--chapter": chapter}
    names = [f"{name}[{stem}]" for name in ("test_the_numbers_of_a_notebook_are_those_of_its_baseline", "test_other")
             for stem in ("D_x", "E_x")]
    items = [SimpleNamespace(name=name, path=Path(__file__)) for name in names]
    conftest.pytest_collection_modifyitems(SimpleNamespace(getoption=options.get), items)
    assert [item.name for item in items] == [name for name in names if name.endswith(tuple(f"{stem}]" for stem in kept))
                                             and "numbers" in name]


@pytest.mark.parametrize(("unit", "small", "large"), [
    ("%", 0.2, 0.3), ("", 5e-4, 2e-3), ("M", 1e-9, 1e-3), ("G", 1e-9, 1e-3), ("images/s", -36.0, None),
])
def test_each_unit_has_its_tolerance_and_what_depends_on_the_machine_has_to_be_recorded(
    unit: str, small: float, large: float | None
) -> None:
    assert not regression.moved([one(40.0, unit)], [one(40.0 + small, unit)])
    assert regression.moved([one(40.0, unit)], [] if large is None else [one(40.0 + large, unit)])
