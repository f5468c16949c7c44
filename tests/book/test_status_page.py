"""The status page shows on what each chapter ran."""

import os
from pathlib import Path

from bs4 import BeautifulSoup

from book.pages import status_page
from proxyclip.supplement import result_files
from proxyclip.supplement.records import Record, Result, Verdict


def test_the_status_names_machine_threads_versions_weights_and_verdicts(tmp_path: Path) -> None:
    kept = {"finished": "2026-01-02 03:04", "seconds": 12.3, "machine": "no GPU; x86, 2 cores, torch uses 2 threads",
            "code": "abc123def4567", "seed": 0, "seeds": [0, 1],
            "versions": {"torch": "2.13.0"}, "weights_sha256": {"tiny_clip": "f" * 64}}
    record = Record("B", "tiny", "miou", 40.0, "%", "tiny/voc", "tiny_dino", "adaptive:1.2,3")
    verdicts = [Verdict("B1", "holds", "x"), Verdict("B2", "does not hold", "y")]
    result_files.save(tmp_path / "B.json", Result("B", "tiny", [record], verdicts, kept))
    status_page.write_page(tmp_path, tmp_path / "made", "version 9, commit abc")
    page = BeautifulSoup((tmp_path / "made" / "status.html").read_text(), "html.parser")
    text = page.get_text(" ", strip=True)
    for part in ("version 9, commit abc", "2026-01-02 03:04 UTC", "12\xa0s", "seeds 0, 1",
                 "2 cores", "torch 2.13.0", "abc123def456",
                 "✓\xa01", "✗\xa01", "f" * 16, "Not run yet: chapters A, C"):
        assert part in text, part
    assert page.select_one("#chapter-b a")["href"] == "notebooks/B_hyperparameters.html"


def test_the_edition_names_version_and_commit(repository_root: Path, tmp_path: Path) -> None:
    assert status_page.edition(repository_root).startswith("version ")
    os.environ.pop("GIT_DIR", None)
    assert "commit" not in status_page.edition(tmp_path)
