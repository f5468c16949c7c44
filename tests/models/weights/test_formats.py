"""Checkpoint files: whatever a file holds, it gives its tensors or one sentence with its name, and nothing runs."""

import io
import os
import pickle
import random
import sys
import warnings
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import synthetic_checkpoints as synthetic
import torch
from safetensors.torch import save_file
from torch import nn

import proxyclip as pc
from proxyclip.loading import load_vfm
from proxyclip.models.weights.formats import load_strictly, read_state_dict
from proxyclip.models.weights.hub import stored
from proxyclip.models.weights.torchscript import read_torchscript
from proxyclip.tiny import models

STATE = synthetic.clip(width=8, layers=1, patch=4, grid=2, text_width=8, text_layers=1, embed=4, vocabulary=16)
FORMS = ("torchscript", "zip", "legacy", "safetensors")


def write(path: Path, form: str) -> Path:
    if form == "torchscript":
        synthetic.write_torchscript(synthetic.openai(STATE, 8), path)
    elif form == "safetensors":
        save_file(STATE, path)
    else:
        torch.save({"model": STATE}, path, _use_new_zipfile_serialization=form == "zip")
    return path


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[key].dtype == other[key].dtype and torch.equal(one[key], other[key]) for key in one)


# ------------------------------------------------------------------------------------------------------ nothing is run


class Writer(nn.Module):
    """A TorchScript module that writes a file when it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.weight = nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self) -> tuple[str, torch.Tensor, bool]:
        return (self.path, self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, torch.Tensor, bool]) -> None:
        self.path, weight, self.training = state
        self.weight = weight + torch.from_file(self.path, True, 2)  # creates the file if there is none


def test_the_code_of_an_archive_never_runs_through_any_door(tmp_path, monkeypatch):
    archive, written = tmp_path / "ViT-B-16.pt", tmp_path / "written"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Writer(str(written))), archive)
        torch.jit.load(archive)
    assert written.stat().st_size > 0, "it would run"
    written.unlink()
    cache = tmp_path / "home" / ".cache" / "clip" / "ViT-B-16.pt"
    cache.parent.mkdir(parents=True)
    cache.write_bytes(archive.read_bytes())
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    url = "https://elsewhere/ViT-B-16.pt"
    assert stored("nobody/nothing", ["weights.bin"], url) == cache
    clip = partial(pc.load, clip="ViT-B-16-quickgelu")
    doors = [partial(clip, clip_weights=archive), partial(clip, clip_weights=cache),
             partial(pc.load, clip_weights=archive), partial(pc.load, vfm="tiny_dino", vfm_weights=archive),
             partial(load_vfm, "dino_vits16", archive), partial(models.fits, "tiny_dino", archive)]
    for door in doors:
        with suppress(ValueError):
            assert not door()
        assert not written.exists(), door


class Everything(nn.Module):
    """Every kind of attribute that TorchScript stores; only parameters and buffers are weights."""

    def __init__(self) -> None:
        super().__init__()
        self.turned = nn.Parameter(torch.randn(3, 2).T.half())
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.register_buffer("count", torch.arange(3))
        self.register_buffer("flag", torch.tensor(True))
        self.mask = torch.zeros(2)
        self.children_ = nn.ModuleList([nn.Linear(2, 2), nn.Conv2d(1, 1, 1)])
        self.tied = self.children_[0]
        self.numbers, self.names, self.mixed = [1, 2], {"a": 1.5}, (1, "x", None, True, 2**40)
        self.tensors = torch.jit.annotate(list[torch.Tensor], [torch.ones(1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tied(x) + self.mask + self.numbers[0] + self.names["a"] + self.mixed[0] + self.tensors[0]


def test_an_archive_gives_what_torchs_own_loader_gives(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Everything()), tmp_path / "all.pt")
        synthetic.write_torchscript(synthetic.openai(STATE, 8), tmp_path / "clip.pt")
        for path in (tmp_path / "all.pt", tmp_path / "clip.pt"):
            expected = torch.jit.load(path).state_dict()
            with zipfile.ZipFile(path) as archive:
                found = read_torchscript(archive)
            assert list(found) == list(expected) and equal(found, dict(expected))
            assert [value.stride() for value in found.values()] == [value.stride() for value in expected.values()]


def test_the_pickle_of_an_archive_cannot_change_the_functions_that_read_it(tmp_path):
    """It asks for a function by name, and for other defaults of it as its state."""
    function = b"ctorch._utils\n_rebuild_tensor_v2\n"
    state = b"N}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86"
    with zipfile.ZipFile(tmp_path / "clip.pt", "w") as archive:
        archive.writestr("clip/data.pkl", b"\x80\x02" + function + state + b"b.")
        with pytest.raises(ValueError, match="changes what is no module"):
            read_torchscript(archive)


# ------------------------------------------------------------------------------------------------------- damaged files


class Surprise:
    """Unpickling this calls a function."""

    def __reduce__(self):
        return sys.exit, (3,)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def expanding() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**27))
    return buffer.getvalue()


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "it is empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
    (b"<!DOCTYPE html><html>", "a web page"),
    (b"\x00" * 500, "damaged or of another format"),
    (pickle.dumps({"a": Surprise()}, protocol=2), "Python objects other than tensors"),
    (saved({"state_dict": {"a": Surprise()}}), "Python objects other than tensors"),
    (saved({0: torch.ones(1), 1: torch.ones(1)}), "0, 1 in it is no name"),
    (saved([torch.ones(1)]), "it holds a list"),
    (saved({"a": torch.empty(2, device="meta")}), "a in it is no tensor of plain numbers"),
    (saved({"a": torch.eye(2).to_sparse()}), "a in it is no tensor of plain numbers"),
    (saved({"module.a": torch.ones(1), "a": torch.ones(1)}), "the same name but for the prefix of a wrapper"),
    (expanding(), "it would expand to 128 MiB"),
], ids=range(12))
def test_a_file_that_is_no_checkpoint_says_what_it_is(content, reason, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"weights.pth cannot be read as a checkpoint of tensors: .*{reason}"):
        read_state_dict(path)


def test_a_pipe_a_folder_and_a_name_too_long_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    for given in (tmp_path / "pipe.pt", tmp_path):
        with pytest.raises(ValueError, match="is a (folder|pipe)"):
            read_state_dict(given)
    for door in (partial(pc.load, clip_weights=tmp_path / "pipe.pt"),
                 partial(pc.load, vfm="tiny_dino", vfm_weights=tmp_path / "pipe.pt"),
                 partial(load_vfm, "sd15", tmp_path / "pipe.pt"),
                 partial(load_vfm, "dino_vits16", tmp_path / ("x" * 300))):
        with pytest.raises((ValueError, FileNotFoundError), match=str(tmp_path)):
            door()


def test_numbers_that_are_not_finite_are_named(tmp_path):
    linear = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"mine\.pt holds numbers that are not finite .*: bias"):
        load_strictly(linear, {**linear.state_dict(), "bias": torch.tensor([0, torch.nan])}, "mine.pt", "linear")


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_gives_the_same_tensors_or_one_sentence(form, tmp_path):
    """Bits flipped and ends cut off, with a fixed seed; archives have checksums, so that no value can change."""
    rng = random.Random(form)
    path = write(tmp_path / "weights.pt", form)
    whole = path.read_bytes()
    expected, _ = read_state_dict(path)
    refused = 0
    for attempt in range(100):
        content = bytearray(whole)
        if attempt % 4 == 0:
            del content[rng.randrange(len(content)):]
        else:  # near the start and the end lie the parts that describe the rest
            span = rng.choice([len(content), 2000])
            for _ in range(rng.choice([1, 1, 8])):
                place = rng.randrange(span)
                content[rng.choice([place, -1 - place])] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        try:
            found, _ = read_state_dict(path)
        except ValueError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 400
        else:
            assert form in ("legacy", "safetensors") or equal(found, expected)
    assert refused > 25
