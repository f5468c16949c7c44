"""A chapter's run: what it keeps whatever happens, and what it does not measure twice."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from proxyclip.attention import sides
from proxyclip.diagnosis.passes import features_and_keys
from proxyclip.models.changed_geometry import with_geometry
from proxyclip.models.clip import DenseCLIP
from proxyclip.models.vfm import VFM
from proxyclip.rules import Adaptive, HardMask
from proxyclip.supplement.chapter_models import RECENT
from proxyclip.supplement.claims import ledger
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.parameters import ChapterError
from proxyclip.supplement.records import Record, Result
from proxyclip.supplement.result_files import load, save


def experiment(folder: Path, section: str = "D", **parameters: object) -> Experiment:
    given = {"vfm": "tiny_dino", "datasets": "tiny/voc", "limit": 2, **parameters}
    return Experiment(section, profile="tiny", output_dir=str(folder), **given)


def broken(_frame: pd.DataFrame) -> tuple[bool, str]:
    raise ValueError("Encountered all NA values")


def test_a_test_that_raises_costs_no_record_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ledger.CLAIMS, "D1", replace(ledger.CLAIMS["D1"], test=broken))
    run = experiment(tmp_path)
    run.record("miou", 12.5, "%", dataset="tiny/voc", rule="hard:0.4", n=2)
    run.finish()
    saved = load(tmp_path / "D.json")
    assert [record.value for record in saved.records] == [12.5]
    verdicts = {verdict.claim: verdict for verdict in saved.verdicts}
    assert verdicts["D1"].status == "not run" and "ValueError: Encountered all NA values" in verdicts["D1"].figures
    assert set(verdicts) == {"D1", "D2", "D3"}


def test_records_are_on_the_disk_before_anything_can_fail(tmp_path: Path) -> None:
    run = experiment(tmp_path)
    run.record("miou", 12.5, "%", dataset="tiny/voc", rule="hard:0.4", n=2)
    assert [record.value for record in run.saved.earlier_records()] == [12.5]
    again = experiment(tmp_path)  # a new start keeps them, until they are measured again
    assert [record.value for record in again.saved.earlier_records()] == [12.5]
    again.record("miou", 50.0, "%", dataset="tiny/voc", rule="hard:0.6", n=2)
    assert [record.value for record in again.saved.earlier_records()] == [12.5, 50.0]


def test_the_same_cell_twice_is_one_record_and_two_values_are_refused(tmp_path: Path) -> None:
    run = experiment(tmp_path)
    for _ in range(2):
        run.record("miou", 12.5, "%", dataset="tiny/voc", rule="hard:0.4")
    assert len(run.records) == 1
    with pytest.raises(ChapterError, match="two values for one thing, 12.5 and 13 for miou of hard:0.4 on tiny/voc"):
        run.record("miou", 13, "%", dataset="tiny/voc", rule="hard:0.4")


def test_an_evaluation_that_was_done_is_read_also_with_smaller_batches_and_a_finished_chapter_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = experiment(tmp_path)
    first.evaluate(None, first.sets["tiny/voc"], ["identity"])
    (frame,) = (found.frame() for found in first.measure(["adaptive", "hard:0.4"]).values())
    assert "other settings" not in capsys.readouterr().err, "another evaluation of the chapter is no change of this one"
    table = first.once("table", lambda: pd.DataFrame({"a": [0.1 + 0.2, 1 / 3]}, index=["x", "y"]))
    monkeypatch.setattr(type(first.model()), "embed", lambda *_: pytest.fail("measured again"))

    def same(run: Experiment) -> None:
        (again,) = (found.frame() for found in run.measure(["adaptive", "hard:0.4"]).values())
        pd.testing.assert_frame_equal(frame, again, check_exact=True)
        kept = run.once("table", lambda: pytest.fail("measured again"))
        pd.testing.assert_frame_equal(table, kept, check_exact=True)

    smaller = experiment(tmp_path, batch=1)
    same(smaller)
    assert smaller.model("tiny_sam").batch == 1
    before = first.finish()
    assert "finished" not in capsys.readouterr().out
    second = experiment(tmp_path)
    assert "Chapter D was finished with these settings before" in capsys.readouterr().out
    same(second)
    assert second.finish().records == before.records


def test_clip_reads_the_scenes_of_a_set_once_for_all_foundation_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, trunk = [], DenseCLIP.trunk
    monkeypatch.setattr(DenseCLIP, "trunk",
                        lambda self, pixels, *how: sizes.append(len(pixels)) or trunk(self, pixels, *how))
    scores = []
    for most in (RECENT, 0):
        run = experiment(tmp_path / str(most), vfm=["tiny_dino", "tiny_mae"])
        run.model().clip.recent.most = most
        run.measure([Adaptive(), HardMask(0.4)])
        scores.append([record.value for record in run.records])
    assert scores[0] == scores[1] and scores[0]
    assert len(sizes) == 2 + 4, "two scenes once, and without memory once for each model"


def test_a_foundation_model_reads_a_scene_once_for_all_its_geometries_but_again_at_another_time_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read, forward = experiment(tmp_path, vfm=["tiny_dino", "tiny_sd"]), [], VFM._features
    monkeypatch.setattr(VFM, "_features", lambda *given: read.append(1) or forward(*given))
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    dino, diffusion = (run.model(name).vfm for name in run.vfms)
    assert torch.equal(dino.features(pixels), dino.features(pixels.clone()))
    with_geometry(dino, base=0.4).features(pixels)
    assert len(read) == 1
    assert sides(features_and_keys(dino, pixels)[1]) == (16, 16) and len(read) == 2, "keys need a pass"
    before = diffusion.features(pixels)
    diffusion.backbone.choose(timestep=50)
    assert not torch.equal(before, diffusion.features(pixels))


@pytest.mark.parametrize("changed", ["limit", "set"])
def test_other_settings_and_other_files_of_a_set_are_measured_and_not_called_finished(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = experiment(tmp_path)
    run.once("table", lambda: pd.DataFrame({"a": [1]}))
    run.finish()
    if changed == "set":
        monkeypatch.setattr(type(run.sets["tiny/voc"]), "signature", lambda _: {"files": "changed"})
    other = experiment(tmp_path, limit=1 if changed == "limit" else 2)
    assert "finished" not in capsys.readouterr().out
    assert other.once("table", lambda: pd.DataFrame({"a": [2]})).iloc[0, 0] == 2


def test_a_folder_that_takes_no_file_stops_the_chapter_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("proxyclip.system.atomic.tempfile.mkstemp", full)
    with pytest.raises(ChapterError, match="chapter D cannot start on profile tiny: .*No space left on device"):
        experiment(tmp_path / "runs")
    assert not list(tmp_path.rglob("*.json"))


def test_every_seed_of_a_chapter_draws_scenes_of_its_own(tmp_path: Path) -> None:
    run = experiment(tmp_path, seed=2, seeds=3)
    drawn = {seed: data[0].image.tobytes() for seed, data in run.scenes("tiny/voc")}
    assert list(drawn) == [2, 3, 4] and len(set(drawn.values())) == 3
    again = experiment(tmp_path / "again", seed=4, seeds=1)
    assert drawn[4] == again.sets["tiny/voc"][0].image.tobytes()


@pytest.mark.parametrize("name", ["data", "images"])
def test_the_first_cells_run_again_after_a_cell_has_named_the_images_of_a_set(name: str, tmp_path: Path) -> None:
    variables = {"profile": "tiny", "vfm": "tiny_dino", "datasets": "tiny/voc", "limit": 2, "output_dir": str(tmp_path)}
    run = Experiment.of_notebook("D", variables)
    again = Experiment.of_notebook("D", {**variables, name: run.sets["tiny/voc"]})
    assert again.parameters == run.parameters


@pytest.mark.parametrize("folder", ["results", "../results"])
def test_a_chapter_finds_what_lies_under_results(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    kept = Result("D", "paper", [Record("D", "paper", "miou", 40.0, "%", "voc21", rule="qk")], [], {"machine": "h100"})
    save(Path(folder) / "h100" / "D.json", kept)
    save(Path(folder) / "h100" / "E.json", replace(kept, section="E"))
    assert experiment(tmp_path / "runs").others() == {"h100": kept}
