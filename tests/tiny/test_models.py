"""The tiny models: their shipped weights and what is said where these are damaged or missing."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from proxyclip.tiny import models
from training.recipes import RECIPES

SHIPPED = sorted(p.stem for p in models.WEIGHTS.glob("*.safetensors"))


def test_there_is_a_recipe_for_every_model():
    assert set(RECIPES) == set(models.MODELS)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_load_in_float32_and_evaluation_mode(name):
    model = models.load(name)
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    card = json.loads((models.WEIGHTS / f"{name}.json").read_text())
    assert card["name"] == name and card["samples"] > 0


def test_the_manifest_lists_exactly_the_shipped_files_which_fit_into_20_megabytes():
    manifest = json.loads(models.MANIFEST.read_text())
    assert sorted(manifest) == SHIPPED and sum(file["bytes"] for file in manifest.values()) <= 20 * 2**20


def test_damaged_weights_are_refused_in_one_sentence(tmp_path, monkeypatch):
    name = SHIPPED[0]
    state = load_file(models.WEIGHTS / f"{name}.safetensors")
    first = next(iter(state))
    state[first] = state[first] + 1
    save_file(state, tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="is damaged: SHA-256") as error:
        models.load(name)
    assert "\n" not in str(error.value)


def test_missing_weights_and_unknown_names_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        models.load("tiny_dino", tmp_path / "none.safetensors")
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="training.pretrain tiny_dino"):
        models.load("tiny_dino")
    with pytest.raises(ValueError, match="the models are tiny_clip"):
        models.build("tiny_nothing")
