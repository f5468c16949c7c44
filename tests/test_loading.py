"""``pc.load``: full-size weights select full-size models, bad files are refused, and blocks can be compiled."""

from pathlib import Path

import pytest
import synthetic_checkpoints as synthetic
import torch
from safetensors.torch import load_file, save_file

import proxyclip as pc
from proxyclip.loading import compile_blocks, profile_of
from proxyclip.tiny import models


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    state = synthetic.clip(width=32, layers=2, patch=16, grid=14, text_width=32, text_layers=1, embed=16)
    synthetic.write_torchscript(synthetic.openai(state, 224), folder / "ViT-B-16.pt")
    torch.save(synthetic.vit(32, 1, 8, 28), folder / "dino_vitbase8_pretrain.pth")
    save_file(load_file(models.WEIGHTS / "tiny_sam.safetensors"), folder / "mine.safetensors")
    (folder / "notes.pth").write_text("not a checkpoint")
    return folder


@pytest.mark.parametrize(("given", "profile"), [
    ({}, "tiny"),
    ({"clip_weights": "random", "vfm_weights": "random"}, "tiny"),
    ({"clip_weights": "ViT-B-16.pt"}, "paper"),
    ({"clip_weights": "openai"}, "paper"),
    ({"vfm_weights": "dino_vitbase8_pretrain.pth"}, "paper"),
    ({"vfm_weights": "mine.safetensors"}, "tiny"),
    ({"vfm": "dino_vitb8"}, "paper"),
    ({"vfm": "tiny_mae", "vfm_weights": "dino_vitbase8_pretrain.pth"}, "tiny"),
    ({"clip": "ViT-L-14-quickgelu"}, "paper"),
])
def test_models_and_weights_decide_the_profile(given: dict[str, str], profile: str, files: Path) -> None:
    named = {name: files / value if (files / value).exists() else value for name, value in given.items()}
    assert profile_of(**named) == profile


@pytest.mark.parametrize("given", [
    {"vfm": "tiny_dino", "vfm_weights": "notes.pth"},
    {"vfm": "tiny_dino", "vfm_weights": "dino_vitbase8_pretrain.pth"},
    {"clip": "tiny_clip", "clip_weights": "ViT-B-16.pt"},
    {"clip_weights": "notes.pth"},
])
def test_a_file_that_fits_no_format_is_one_sentence_with_its_name(given: dict[str, str], files: Path) -> None:
    named = {name: files / value if (files / value).exists() else value for name, value in given.items()}
    with pytest.raises(ValueError) as caught:
        pc.load(**named)
    assert "\n" not in str(caught.value) and str(files) in str(caught.value)


@pytest.mark.parametrize(("vfm", "blocks"), [("tiny_dino", 9), ("tiny_sam", 9), ("tiny_sd", 5), (None, 5)])
def test_the_blocks_of_both_backbones_are_compiled(vfm, blocks):
    model = pc.load(vfm=vfm)
    compiled = compile_blocks(model, backend="eager")  # what torch.compile traces, without waiting for a compiler
    assert len(compiled) == blocks


@pytest.mark.parametrize("vfm", ["tiny_dino", "tiny_sam"])
def test_a_compiled_model_gives_the_same_logits(vfm):
    image, classes = pc.dataset("tiny/context")[0].image, ["sky", "grass; leaves", "ball"]
    expected = pc.load(vfm=vfm).logits(image, classes)
    model = pc.load(vfm=vfm)
    compile_blocks(model, backend="aot_eager")
    torch.testing.assert_close(model.logits(image, classes), expected, atol=1e-5, rtol=0)


def test_load_compiles_when_asked(monkeypatch):
    seen = []
    monkeypatch.setattr("proxyclip.loading.compile_blocks", seen.append)
    assert pc.load(compile=True) in seen and pc.load() not in seen
