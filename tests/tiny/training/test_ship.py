"""Shipping trained weights: means of several trainings, and the cards that describe them."""

import json

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file

from proxyclip.tiny import models
from proxyclip.tiny.training.ship import average, card_of, main, mean_of, ship_weights


def test_the_card_of_further_training_counts_both_runs(tmp_path):
    runs, folder = tmp_path / "runs", tmp_path / "weights"
    runs.mkdir()
    card = {"name": "tiny_dino", "steps": 10, "samples": 100, "wall_minutes": 1.5, "seed": 0, "notes": "Alone."}
    for step in range(3):
        save_file({"x": torch.full((1,), float(step))}, runs / "tiny_dino.safetensors")
        (runs / "tiny_dino.json").write_text(json.dumps(card))
        shipped = ship_weights("tiny_dino", runs, folder)
        found = json.loads((folder / "tiny_dino.json").read_text())
        assert found["steps"] == 10 * (step + 1) and found["wall_minutes"] == 1.5 * (step + 1)
        assert [run["steps"] for run in found.get("runs", [])] == ([10] * (step + 1) if step else [])
        optimiser = {"muon_lr": 0.001, "adam_lr": 0.002}
        card = {**card, "started_from": models.sha256(shipped), "optimiser": optimiser}
    assert found["notes"].startswith("Alone. Then 10 more steps (1.5 minutes)") and found["notes"].count("Then") == 2
    (runs / "tiny_dino.json").write_text(json.dumps({**card, "started_from": "another"}))
    ship_weights("tiny_dino", runs, folder)
    assert json.loads((folder / "tiny_dino.json").read_text())["steps"] == 10


def test_the_mean_of_trainings_is_shipped_with_the_card_of_each(tmp_path):
    folder, optimiser = tmp_path / "weights", {"muon_lr": 0.001, "adam_lr": 0.002}
    card = {"name": "tiny_dino", "steps": 10, "samples": 100, "wall_minutes": 1.5, "seed": 0, "optimiser": optimiser}
    runs = [tmp_path / name for name in ("start", "one", "two", "mean")]
    for run, value in zip(runs[:3], (0.0, 1.0, 4.0), strict=True):
        run.mkdir()
        save_file({"x": torch.full((1,), value, dtype=torch.float16)}, run / "tiny_dino.safetensors")
        (run / "tiny_dino.json").write_text(json.dumps(card))
        if run.name == "start":
            card = {**card, "started_from": models.sha256(ship_weights("tiny_dino", run, folder))}
    average("tiny_dino", runs[1:3], runs[3])
    shipped = load_file(ship_weights("tiny_dino", runs[3], folder))
    assert shipped["x"].item() == 2.5 and shipped["x"].dtype == torch.float16
    found = json.loads((folder / "tiny_dino.json").read_text())
    assert found["steps"] == 30 and [run["steps"] for run in found["runs"]] == [10, 10, 10]
    assert found["notes"].endswith("The last 2 runs began with the same weights; shipped is the mean of theirs.")


def test_only_trainings_of_one_origin_and_one_shape_are_averaged():
    with pytest.raises(ValueError, match="names or shapes of the tensors differ"):
        mean_of([{"x": torch.zeros(2)}, {"x": torch.zeros(3)}])
    for origins in ((None, None), ("a", "b")):
        with pytest.raises(ValueError, match="began with the same weights"):
            card_of([{"started_from": origin} for origin in origins])


def test_a_folder_without_a_finished_training_is_named_and_nothing_is_written(tmp_path):
    runs = [tmp_path / "one", tmp_path / "two"]
    for run in runs:
        run.mkdir()
    card = {"started_from": "a", "steps": 1, "samples": 1, "wall_minutes": 1.0}
    save_file({"x": torch.zeros(1)}, runs[0] / "tiny_dino.safetensors")
    (runs[0] / "tiny_dino.json").write_text(json.dumps(card))
    with pytest.raises(typer.BadParameter, match="two/tiny_dino.json is missing"):
        main(tmp_path / "mean", ["tiny_dino"], runs)
    save_file({"x": torch.zeros(1)}, runs[1] / "tiny_dino.safetensors")
    (runs[1] / "tiny_dino.json").write_text(json.dumps({**card, "started_from": "b"}))
    with pytest.raises(typer.BadParameter, match="began with the same weights"):
        main(tmp_path / "mean", ["tiny_dino"], runs)
    assert not (tmp_path / "mean").exists()
