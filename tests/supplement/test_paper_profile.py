"""Profile paper as a user meets it: every chapter, on published formats and layouts, to its end."""

import io
import json
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import synthetic_checkpoints as synthetic
import torch
import user_machine
from command_line import output_of
from miniature import write_image, write_labels
from typer.testing import CliRunner

from proxyclip.cli import checklist, doctor
from proxyclip.cli.app import app
from proxyclip.data.benchmark_files import BenchmarkDataset
from proxyclip.loading import load_vfm
from proxyclip.models.registry import VFMS
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement.records import Result

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[A-Z]_*.ipynb"))

#: What keeps a chapter short here; what is left out is more of the same.
SHORT = {letter: {"datasets": ["voc21"], **given} for letter, given in {
    "A": {"timesteps": [0, 50]}, "B": {"betas": [1.0, 1.2], "gammas": [3.0, 5.0]},
    "C": {"size": 32, "vfm": ["dino_vits16", "dino_vitb16"]},
    "D": {"alphas": [0.2, 0.6], "vfm": ["dino_vits16", "mae_vitb16"]},
    "E": {"attentions": ["qk", "qq", "kk", "qq/each"], "datasets": ["voc21", "cityscapes"]},
    "F": {"sizes": [40, 459], "datasets": ["pc459"]}, "G": {"images": [0], "datasets": ["voc21", "cityscapes"]},
    "H": {},
}.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return user_machine.write_machine(tmp_path_factory.mktemp("home"))


#: What only a chapter on the tiny world may speak of.
OF_THE_TINY_WORLD = re.compile(r"generated|tiny|in a caption|scene|imitate|stand-in", re.IGNORECASE)


@dataclass
class Run:
    """What a chapter saved, and how many images were embedded for it."""

    result: Result
    embedded: int


def run_and_read(
    letter: str, limit: int, patch: pytest.MonkeyPatch, last: int | None = None, **given: object
) -> Run:
    """Run a chapter on so many images a set; it has records and verdicts or checks, and speaks of what it ran on."""
    page, printed, counted = [], io.StringIO(), Embedded(patch, last)
    with redirect_stdout(printed):
        result = user_machine.run_notebook(chapter(letter), page, profile="paper", limit=limit, **given)
    assert result.profile == "paper" and result.records and (result.verdicts or result.checks)
    assert {record.n for record in result.records if record.profile == "paper"} - {None} == {limit}
    sentences = [sentence for part in [*page, printed.getvalue()] for sentence in visible(part).split(". ")]
    assert not [sentence for sentence in sentences if OF_THE_TINY_WORLD.search(sentence)]
    return Run(result, counted.calls)


def visible(part: str) -> str:
    """What a reader reads of a part of a page: no tags, no commands to type."""
    without_commands = re.sub(r"^```.*?^```", "", part, flags=re.MULTILINE | re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", without_commands).split())


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
    assert {record.metric for record in result.records} == {"miou", "boundary_iou", "led_classes"}
    absent = [entry for entry in result.provenance["absent"] if entry["metric"] == "small_recall"]
    rules = {record.rule for record in result.records if record.metric == "miou"}
    assert {entry["rule"] for entry in absent} == rules and len(absent) == len(rules)
    assert all(entry["cases"] == 0 and entry["n"] == 1 for entry in absent)
    assert "not run" in {verdict.status for verdict in result.verdicts}


@pytest.mark.parametrize(("letter", "last"), [("D", 2), ("E", 2), ("F", 4), ("G", 5)])
def test_a_chapter_that_was_killed_continues_to_equal_records(
    letter: str, last: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves what lies on the disk at that moment, behind the first evaluation; it is copied."""
    user_machine.move_in(home, monkeypatch)
    monkeypatch.chdir(tmp_path)
    undisturbed = run_and_read(letter, 1, monkeypatch, last, output_dir="whole", **SHORT[letter])
    assert not Path(f"killed/{letter}.json").exists()
    assert list(Path(f"killed/{letter}.progress").rglob("*.*")), "nothing was saved on the way"
    counted = Embedded(monkeypatch)
    continued = user_machine.run_notebook(chapter(letter), profile="paper", limit=1, output_dir="killed",
                                          **SHORT[letter])
    assert continued.records == undisturbed.result.records and continued.verdicts == undisturbed.result.verdicts
    assert counted.calls < undisturbed.embedded, "what was measured before the kill was measured again"


class Embedded:
    """Counts the images that a model embeds, and copies the folder ``whole`` before the ``last`` one of a kill."""

    def __init__(self, patch: pytest.MonkeyPatch, last: int | None = None) -> None:
        self.calls = 0
        embed = ProxyCLIP.embed

        def counted(model: ProxyCLIP, *args: object) -> object:
            self.calls += 1
            if self.calls == last:
                shutil.copytree("whole", "killed")
            return embed(model, *args)

        patch.setattr(ProxyCLIP, "embed", counted)


def test_the_doctor_calls_present_exactly_what_loads(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that torch.hub stored, files in the hub's cache, and a Stable Diffusion without ``model_index.json``."""
    user_machine.move_in(home, monkeypatch)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", unreachable)
    monkeypatch.setattr("huggingface_hub.snapshot_download", only_local)
    rows = {name: doctor.vfm_row(name, spec)[1] for name, spec in VFMS.items() if spec.source != "tiny"}
    assert {name for name, present in rows.items() if present} == {*user_machine.MODELS, "sd15"}
    for name, present in rows.items():
        if present:
            load_vfm(name)
        else:
            with pytest.raises(FileNotFoundError, match="no weights for"):
                load_vfm(name)
    assert [doctor.clip_row(*pair)[1] for pair in doctor.CLIPS] == [True, False, False]


def unreachable(*_: object, **__: object) -> None:
    raise ConnectionError("no route to host")


snapshot_download = huggingface_hub.snapshot_download


def only_local(*args: object, **options: object) -> str:
    return snapshot_download(*args, **{**options, "local_files_only": True})


@pytest.mark.parametrize(("letter", "left"), [
    ("A", 4), ("B", 0), ("C", 0), ("D", 14), ("E", 0), ("F", 7), ("G", None), ("H", 0)])
def test_every_chapter_runs_to_its_end_on_a_larger_clip_with_what_its_jobs_have_made_and_all_keep_to_the_limit(
    letter: str, left: int | None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ViT-L/14 from a checkpoint as open_clip's training writes it; the sets have three images, two are read.

    Left are A's two time steps, D's changed geometries, F's growing vocabulary and what F labels by hand; G has no job.
    """
    user_machine.move_in(home, monkeypatch)
    monkeypatch.chdir(tmp_path)
    state = synthetic.clip(**user_machine.LARGE_SHAPE)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, "trained.pt")
    read: set[int] = set()
    load_sample = BenchmarkDataset.__getitem__
    monkeypatch.setattr(BenchmarkDataset, "__getitem__",
                        lambda data, index: read.add(index) or load_sample(data, index))
    given = {"clip": "ViT-L-14-quickgelu", "clip_weights": "trained.pt", "output_dir": "runs", **SHORT[letter]}
    if left is not None:
        of_all = {"profile": "paper", "limit": 2, **given}
        options = [part for name, value in of_all.items() for part in ("-p", f"{name}={json.dumps(value)}")]
        jobs = ["evaluate", "--chapter", letter]
        for index in range(len(output_of(*jobs, "--grid", *options).splitlines())):
            output_of(*jobs, "--job", index, *options)
    found = run_and_read(letter, 2, monkeypatch, **given)
    assert left is None or found.embedded == left
    provenance = found.result.provenance
    assert provenance["parameters"]["clip"] == "ViT-L-14-quickgelu" and read == {0, 1}
    assert any("trained.pt" in name or "ViT-L-14" in name for name in provenance["weights_sha256"])


def test_the_doctor_of_a_chapter_is_a_checklist(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_machine.move_in(home, monkeypatch)
    monkeypatch.setattr("huggingface_hub.snapshot_download", only_local)
    found = CliRunner().invoke(app, ["doctor", "E", "-p", "limit=1"], catch_exceptions=False)
    assert found.exit_code == 0 and found.stdout.splitlines()[-1] == "ready"
    assert "present  torch: " in found.stdout and "diffusers" not in found.stdout
    assert "present  dino_vitb8: in the cache" in found.stdout and "present  voc21: 3 of 1449 images" in found.stdout
    assert "s a window on cpu" in found.stdout and "the evaluations take about" in found.stdout
    found = CliRunner().invoke(app, ["doctor", "E", "-p", "vfm=dinov2_vitl14_reg", "-p", "limit=1", "-p",
                                     "datasets=[voc21]"], catch_exceptions=False)
    assert found.exit_code == 1 and found.stdout.splitlines()[-1] == "not ready: dinov2_vitl14_reg"
    assert "missing  dinov2_vitl14_reg: about " in found.stdout and "from https://" in found.stdout


def test_the_doctor_of_a_chapter_says_where_missing_sets_come_from_and_how_large_they_are(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_machine.move_in(home, monkeypatch)
    found = CliRunner().invoke(app, ["doctor", "D", "-p", f"data={tmp_path}", "-p", "vfm=dino_vitb8"])
    assert found.exit_code == 1 and found.stdout.splitlines()[-1] == "not ready: coco_stuff"
    (row,) = [line for line in found.stdout.splitlines() if line.startswith("missing")]
    assert row.startswith("missing  coco_stuff: 0 of 5000 images; ")
    assert "val2017.zip (about 1 GB) of https://" in row and "(about 660 MB)" in row and "proxyclip prepare" in row
    assert "time: not estimated, none of the sets is present" in found.stdout


def test_the_doctor_of_a_chapter_names_a_package_that_is_missing_and_times_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_machine.move_in(home, monkeypatch)
    monkeypatch.setattr("huggingface_hub.snapshot_download", only_local)
    monkeypatch.setattr(checklist, "versions", lambda: {"torch": "2.13.0", "open_clip_torch": "3", "timm": "1",
                                                        "transformers": "5", "papermill": "2"})
    found = CliRunner().invoke(app, ["doctor", "A", "-p", "limit=1", "-p", "datasets=[voc21]"], catch_exceptions=False)
    assert "missing  diffusers: pip install diffusers" in found.stdout and "present  timm: 1" in found.stdout
    assert "a window" not in found.stdout
    assert found.exit_code == 1 and found.stdout.splitlines()[-1] == "not ready: diffusers"
