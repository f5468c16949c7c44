"""The command line: what it prints, what it writes, and one sentence with exit code 2 for errors the user can fix."""

import io
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from command_line import exit_code
from PIL import Image

import proxyclip as pc
from proxyclip.cli.app import main
from proxyclip.cli.options import WindowOptions

UNTRAINED = ["--clip-weights", "random", "--vfm-weights", "random"]
SKY = ["segment", "whole.jpg", "--classes", "sky"]
VOC = ["evaluate", "--dataset", "tiny/voc", "--output", "a.json"]


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()[:300, 100:420]).save(path)
    return path


def test_segment_runs_the_full_size_architectures_on_a_photo_and_says_that_untrained_labels_mean_nothing(
    monkeypatch, photo, tmp_path, capsys
):
    monkeypatch.setattr(open_clip, "OPENAI_IMAGENET_TEMPLATES", open_clip.OPENAI_IMAGENET_TEMPLATES[:2])
    out = tmp_path / "out.png"
    code = exit_code(monkeypatch, "segment", photo, "--classes", "sky; cloud, a person, rocket", "--profile", "paper",
                     "--vfm", "dino_vits16", *UNTRAINED, "-o", out)
    printed = capsys.readouterr().out
    assert code == 0 and "have no meaning" in printed and "ViT-B-16-quickgelu" in printed
    assert np.asarray(Image.open(tmp_path / "out_labels.png")).shape == (300, 320)
    assert Image.open(out).width == 320


def test_the_two_ways_of_the_readme_give_the_same_labels(monkeypatch, tmp_path):
    photo = np.asarray(pc.dataset("tiny/street")[0].image.resize((512, 256)))
    Image.fromarray(photo).save(tmp_path / "photo.png")
    assert exit_code(monkeypatch, "segment", tmp_path / "photo.png", "--classes", "sky; cloud, road, car, grass",
                     "-o", tmp_path / "out.png") == 0
    labels = np.asarray(Image.open(tmp_path / "out_labels.png"))
    words = ["sky; cloud", "road", "car", "grass"]
    assert (pc.load().segment(tmp_path / "photo.png", words).labels == labels).all()
    assert (pc.load(short_side=None).segment(photo, words).labels != labels).mean() > 0.01  # else nothing is compared


def test_both_profiles_resize_to_the_protocols_short_side_and_none_keeps_the_size():
    untrained = {"clip_weights": "random", "vfm_weights": "random"}
    assert pc.load("tiny", **untrained).short_side == 128
    assert pc.load("tiny", short_side=None, **untrained).short_side is None
    with torch.device("meta"):
        assert pc.load("paper", vfm="dino_vits16", device="meta", **untrained).short_side == 336
    assert [WindowOptions(short_side=side).sizes()["short_side"] for side in (None, 0, 48)] == ["default", None, 48]


def test_nothing_that_a_user_types_is_markup_and_every_terminal_shows_it(tmp_path, monkeypatch):
    Image.new("RGB", (64, 64), "green").save(tmp_path / "[red]photo.png")
    names = ["[/b]", "[day]", ":car:", "B\u00e4ume"]
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, "ascii", write_through=True))
    code = exit_code(monkeypatch, "segment", tmp_path / "[red]photo.png", "--classes", ", ".join(names), "-o",
                     tmp_path / "[green]out.png", "--prob-threshold", 0)
    shown = pc.load().segment(tmp_path / "[red]photo.png", names).shares()
    printed = terminal.getvalue().decode("ascii")
    assert code == 0 and "[green]out.png" in printed
    assert all(name.encode("ascii", "backslashreplace").decode() in printed for name in shown)


def test_many_photos_are_labelled_with_a_table_and_what_is_done_is_not_done_again(tmp_path, monkeypatch, capsys):
    for number in range(3):
        pc.dataset("tiny/voc")[number].image.save(tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_text("no image")
    photos = sorted(tmp_path.glob("*.png"))
    command = ["segment", *photos, "--classes", "sky, grass, car", "-o", tmp_path / "out"]
    assert exit_code(monkeypatch, *command) == 2 and "bad.png is not an image" in capsys.readouterr().err
    table = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert table[0] == "photo,sky,grass,car" and len(table) == 4
    labels = pc.load().segment(photos[0], ["sky", "grass", "car"]).labels
    assert [float(share) for share in table[1].split(",")[1:]] == [
        pytest.approx((labels == k).mean(), abs=1e-6) for k in range(3)]
    calls = []
    label = pc.ProxyCLIP.segment
    monkeypatch.setattr(pc.ProxyCLIP, "segment", lambda self, *given: calls.append(1) or label(self, *given))
    (tmp_path / "out" / "1.png").unlink()
    assert exit_code(monkeypatch, *command) == 2 and len(calls) == 1  # only the one that is missing
    assert (tmp_path / "out" / "summary.csv").read_text().splitlines() == table
    assert exit_code(monkeypatch, *command, "--rule", "qq") == 2 and len(calls) == 4  # other settings: again
    for wrong, said in (([photos[0], tmp_path / "0.jpg", "-o", tmp_path / "o"], "would both become"),
                        ([photos[0], tmp_path / "0_labels.jpg", "-o", tmp_path / "o"], "o/0_labels.png; segment them"),
                        ([*photos, "-o", tmp_path / "x.png"], "is one picture for 4 photos")):
        capsys.readouterr()
        assert exit_code(monkeypatch, "segment", *wrong, "--classes", "sky, car") == 2
        assert said in capsys.readouterr().err


def test_an_error_that_no_check_catches_is_one_line_and_a_traceback_only_with_debug(monkeypatch, capsys, photo):
    monkeypatch.setattr(pc.ProxyCLIP, "segment", lambda *_: [][1])
    monkeypatch.setattr(pc.Segmentation, "save", lambda *_: None)
    command = ["segment", photo, "--classes", "sky, grass", "-o", photo.parent / "new.png"]
    assert exit_code(monkeypatch, *command) == 1
    assert capsys.readouterr().err.endswith("IndexError: list index out of range (--debug shows where)\n")
    monkeypatch.setattr(sys, "argv", ["proxyclip", *map(str, command), "--debug"])
    with pytest.raises(IndexError):
        main()


@pytest.fixture
def bad_files(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    return tmp_path


@pytest.mark.parametrize(("command", "sentence"), [
    (["segment", "missing.jpg", "--classes", "a, b"], "no such image"),
    (["segment", "cut.jpg", "--classes", "a, b"], "cannot be decoded"),
    (["segment", "whole.jpg"], "the class list is empty"),
    (["segment", "whole.jpg", "--classes", "sky", "--classes-file", "x.txt"], "exclude each other"),
    (["segment", "whole.jpg", "--classes-file", "no.txt"], "no.txt: not a readable class list (no such file)"),
    ([*SKY, "--rule", "magic"], "unknown rule 'magic'; allowed are"),
    ([*SKY, "--profile", "huge"], "profile must be one of tiny, paper, got 'huge'"),
    ([*SKY, *UNTRAINED, "--stride", "99"], "stride must not exceed window"),
    ([*SKY, *UNTRAINED, "--window", "7", "--stride", "7"], "at least 8 pixels"),
    ([*SKY, "--device", "gpu"], "device must be one of cpu"),
    ([*SKY, *UNTRAINED, "--prob-threshold", "3"], "prob_threshold must lie in [0, 1]"),
    ([*SKY, *UNTRAINED, "-o", "nowhere/out.png"], "the folder nowhere does not exist"),
    ([*SKY, *UNTRAINED, "-o", "out.docx"], "is no image format"),
    (["evaluate", "--chapter", "E", "--device", "cuda"], "a chapter brings its sets, models and rules"),
    (["evaluate", "--chapter", "E", "--pamr"], "a chapter brings its sets, models and rules"),
    (["evaluate", "--chapter", "E", "--seed", 0], "a chapter brings its sets, models and rules"),
    ([*VOC, "-p", "limit=2"], "none is given: -p limit=2"),
    ([*VOC, "--prob-threshold", 2], "prob_threshold must lie in [0, 1]"),
    ([*VOC, "--rule", "magic"], "unknown rule 'magic'"),
    (["run", "Z"], "no chapter Z"),
    (["run", "G", "-p", "limit"], "NAME=VALUE"),
])
def test_an_error_the_user_can_fix_is_one_sentence_and_exit_code_two_and_nothing_is_written(
    monkeypatch, bad_files, capsys, command, sentence
):
    monkeypatch.chdir(bad_files)
    before = sorted(bad_files.iterdir())
    assert exit_code(monkeypatch, *command) == 2
    printed = capsys.readouterr().err
    assert sentence in printed and printed.count("\n") == 1 and "Traceback" not in printed
    assert sorted(bad_files.iterdir()) == before


def test_the_doctor_names_versions_weights_and_sources(monkeypatch, capsys):
    assert exit_code(monkeypatch, "doctor") == 0
    printed = capsys.readouterr().out
    for expected in ("torch", "tiny_clip", "dino_vitb8", "dino_vitbase8_pretrain.pth", "ViT-B-16-quickgelu",
                     "PROXYCLIP_DATA"):
        assert expected in printed
