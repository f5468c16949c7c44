"""Profile paper as a user meets it: every chapter, on published formats and layouts, to its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import user_machine
from miniature import write_image, write_labels

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[A-G]_*.ipynb"))
by_name = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)

#: What keeps a chapter short here; what is left out is more of the same.
SHORT = {"B": {"betas": [1.0, 1.2], "gammas": [3.0, 5.0]}, "C": {"size": 32}, "D": {"alphas": [0.2, 0.6]},
         "E": {"attentions": ["qk", "qq", "kk", "qq/each"]}, "F": {"sizes": [40, 459]}, "A": {"timesteps": [0, 50]},
         "G": {"images": [0]}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return user_machine.write_machine(tmp_path_factory.mktemp("home"))


@by_name
def test_every_chapter_ends_with_its_records_on_one_image_a_set(
    notebook: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_machine.move_in(home, monkeypatch)
    letter = notebook.stem[0]
    result = user_machine.run_notebook(notebook, profile="paper", limit=1, output_dir=str(tmp_path), **SHORT[letter])
    assert result.profile == "paper" and result.records and result.verdicts
    assert all(record.n in (None, 1) for record in result.records if record.profile == "paper")


def chapter(letter: str) -> Path:
    return next(path for path in NOTEBOOKS if path.stem.startswith(letter))


def test_a_measure_without_a_case_is_absent_and_counted_not_nan(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images with nothing small in them: G's recall of small objects has no case."""
    user_machine.move_in(home, monkeypatch)
    root, rng = tmp_path / "VOC2012", np.random.default_rng(0)
    write_image(root / "JPEGImages" / "a.jpg", rng)
    write_labels(root / "SegmentationClass" / "a.png", np.repeat([[0] * 29 + [8] * 29], 44, axis=0))
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    result = user_machine.run_notebook(chapter("G"), profile="paper", datasets=["voc21"], data=str(tmp_path),
                                       images=[0], output_dir=str(tmp_path / "runs"))
    assert {record.metric for record in result.records} == {"miou", "boundary_iou"}
    absent = [entry for entry in result.provenance["absent"] if entry["metric"] == "small_recall"]
    assert len(absent) == 4 and all(entry["cases"] == 0 and entry["n"] == 1 for entry in absent)
    assert "not run" in {verdict.status for verdict in result.verdicts}
