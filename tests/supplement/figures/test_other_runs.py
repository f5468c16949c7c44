"""A result that is put into ``results/<name>/`` appears beside the chapter's own run, in table and ledger."""

from pathlib import Path

import nbformat
import pytest

from book.pages import ledger_page
from proxyclip.supplement import paper, result_files
from proxyclip.supplement.chapters.notebooks import find_root
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.records import Record, Result

NOTEBOOKS = sorted((find_root() / "notebooks").glob("[A-G]_*.ipynb"))
FREE = ("vanilla", "qk", "qq", "kk", "identity", "adaptive:1.2,3")
#: Rules of a chapter, as far as its panel shows them.
RULES = {
    "A": FREE, "E": FREE, "B": ("identity", "adaptive:1,3", "adaptive:1.2,3", "adaptive:1.2,5"),
    "C": ("identity", "adaptive:1.2,3"), "D": ("hard:0.2", "hard:0.6", "adaptive:1.2,3", "identity"),
    "F": ("vanilla", "maskclip", "adaptive:1.2,3"), "G": ("vanilla", "qq", "adaptive:1.2,3"),
}
SETS = {"tiny": ("tiny/voc", "tiny/street"), "paper": ("voc21", "cityscapes")}
VFM = {"tiny": "tiny_dino", "paper": "dino_vitb8"}


def result(section: str, profile: str, first: float) -> Result:
    """A run of a chapter, made up: every score is one above the one before."""
    records = []
    for name in SETS[profile]:
        for rule in RULES[section]:
            vfm = VFM[profile] if rule.startswith(("adaptive", "hard", "identity")) else ""
            setting = paper.FREE if section == "F" else ""
            for metric in ("miou", "boundary_iou") if section == "G" else ("miou",):
                records.append(Record(section, profile, metric, first + len(records), "%", name, vfm, rule,
                                      setting=setting))
    return Result(section, profile, records, list(claims.judge(records, section).values()), {"machine": "a machine"})


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_shows_what_was_saved(notebook: Path) -> None:
    code = [cell.source for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code"]
    assert "(result, run.others())" in code[-1]


@pytest.mark.parametrize("folder", ["results", "../results"])
def test_a_chapter_finds_what_lies_under_results(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    result_files.save(Path(folder) / "h100" / "E.json", result("E", "paper", 40.0))
    result_files.save(Path(folder) / "h100" / "D.json", result("D", "paper", 40.0))
    run = Experiment("E", profile="tiny", limit=1, datasets="tiny/voc", output_dir=str(tmp_path / "runs"))
    assert run.others() == {"h100": result("E", "paper", 40.0)}


def test_the_ledger_has_a_column_for_a_saved_run_of_every_chapter(tmp_path: Path) -> None:
    for section in RULES:
        result_files.save(tmp_path / "data" / f"{section}.json", result(section, "tiny", 20.0))
        result_files.save(tmp_path / "results" / "h100" / f"{section}.json", result(section, "paper", 40.0))
    ledger_page.write_pages(tmp_path / "data", tmp_path / "results", tmp_path / "pages")
    judged = ledger_page.all_verdicts(tmp_path / "data", tmp_path / "results")
    assert set(judged["h100 (profile paper)"]) == set(judged["this book (profile tiny)"]) == set(claims.CLAIMS)
    for name in ("claims_table", "claims_picture"):
        assert "h100 (profile paper)" in (tmp_path / "pages" / f"{name}.html").read_text()
