"""Shipping trained weights: means of several trainings, and the cards that describe them."""

import json
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file

from proxyclip.models.weights.digests import sha256_of
from training.ship import average, card_of, main, mean_of, ship_weights

CARD = {"name": "tiny_dino", "steps": 10, "samples": 100, "wall_minutes": 1.5, "seed": 0, "notes": "Alone.",
        "optimiser": {"muon_lr": 0.001, "adam_lr": 0.002}}


def write_training(run: Path, value: float = 0.0, **card: object) -> Path:
    """A finished training of one weight."""
    run.mkdir(exist_ok=True)
    save_file({"x": torch.full((1,), value, dtype=torch.float16)}, run / "tiny_dino.safetensors")
    (run / "tiny_dino.json").write_text(json.dumps({**CARD, **card}))
    return run


def shipped_card(folder: Path) -> dict:
    return json.loads((folder / "tiny_dino.json").read_text())


def test_the_card_of_further_training_counts_both_runs(tmp_path):
    runs, folder, start = tmp_path / "runs", tmp_path / "weights", {}
    for step in range(3):
        shipped = ship_weights("tiny_dino", write_training(runs, float(step), **start), folder)
        found = shipped_card(folder)
        assert found["steps"] == 10 * (step + 1) and found["wall_minutes"] == 1.5 * (step + 1)
        assert [run["steps"] for run in found.get("runs", [])] == ([10] * (step + 1) if step else [])
        start = {"started_from": sha256_of(shipped)}
    assert found["notes"].startswith("Alone. Then 10 more steps (1.5 minutes)") and found["notes"].count("Then") == 2
    ship_weights("tiny_dino", write_training(runs, started_from="another"), folder)
    assert shipped_card(folder)["steps"] == 10


def test_the_mean_of_trainings_is_shipped_with_the_card_of_each(tmp_path):
    folder = tmp_path / "weights"
    start = sha256_of(ship_weights("tiny_dino", write_training(tmp_path / "start"), folder))
    runs = [write_training(tmp_path / str(value), value, started_from=start) for value in (1.0, 4.0)]
    average("tiny_dino", runs, tmp_path / "mean")
    shipped = load_file(ship_weights("tiny_dino", tmp_path / "mean", folder))
    assert shipped["x"].item() == 2.5 and shipped["x"].dtype == torch.float16
    found = shipped_card(folder)
    assert found["steps"] == 30 and [run["steps"] for run in found["runs"]] == [10, 10, 10]
    assert found["notes"].endswith("The last 2 runs began with the same weights; shipped is the mean of theirs.")


def test_only_trainings_of_one_origin_and_one_shape_are_averaged():
    with pytest.raises(ValueError, match="names or shapes of the tensors differ"):
        mean_of([{"x": torch.zeros(2)}, {"x": torch.zeros(3)}])
    for origins in ((None, None), ("a", "b")):
        with pytest.raises(ValueError, match="began with the same weights"):
            card_of([{"started_from": origin} for origin in origins])


def test_a_folder_without_a_finished_training_is_named_and_nothing_is_written(tmp_path):
    runs = [write_training(tmp_path / name, started_from=name) for name in ("one", "two")]
    with pytest.raises(typer.BadParameter, match="began with the same weights"):
        main(tmp_path / "mean", ["tiny_dino"], runs)
    (runs[1] / "tiny_dino.json").unlink()
    with pytest.raises(typer.BadParameter, match="two/tiny_dino.json is missing"):
        main(tmp_path / "mean", ["tiny_dino"], runs)
    assert not (tmp_path / "mean").exists()
    with pytest.raises(typer.BadParameter, match="tiny_dino.json is missing; only a finished training can be shipped"):
        main(runs[1], ["tiny_dino"])
