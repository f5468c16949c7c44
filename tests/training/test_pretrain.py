"""Training: each part learns, further trainings and interrupted ones continue, and the best weights are kept."""

from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from proxyclip.tiny import models
from training import pretrain
from training.objectives import pair_objective
from training.pretrain import OtherSettings, Training, save, train
from training.recipes import RECIPES


@pytest.fixture(autouse=True)
def few_windows_for_the_mean_feature_of_a_place(monkeypatch):
    monkeypatch.setattr(pair_objective, "mean_by_place", partial(pair_objective.mean_by_place, windows=32))


def small(name: str, seed: int = 3, start: str | None = None) -> Training:
    run = Training(name, seed, "cpu", start=start and models.WEIGHTS / f"{start}.safetensors")
    run.objective.batch = (8, 4) if name == "tiny_clip" else 3
    run.objective.pair_batch = 3
    return run


@pytest.mark.parametrize(
    ("name", "progress"), [*((name, 0.3) for name in RECIPES), ("tiny_mae", 0.5), ("tiny_sd", 0.1), ("tiny_sd", 0.6)])
def test_each_part_of_a_training_changes_what_it_trains(name, progress, scenes):
    run = small(name)
    before = {k: v.clone() for k, v in run.master.state_dict().items()}
    assert np.isfinite(run.advance(scenes, progress))
    changed = {k.split(".")[0] for k, v in run.master.state_dict().items() if not torch.equal(before[k], v)}
    if name == "tiny_sd":
        assert changed & {"vae", "unet"} == {"vae" if progress == 0.1 else "unet"}
    if name in ("tiny_mae", "tiny_sd"):
        assert (run.objective.teacher is not None) == (progress >= 0.5)
    assert changed
    models.build(name).load_state_dict({k: v.float() for k, v in run.shipped().items()})


@pytest.mark.parametrize("name", ["tiny_sd", "tiny_mae"])
def test_further_training_starts_from_the_weights_it_is_given(name):
    run = small(name, start=name)
    torch.testing.assert_close(run.shipped(), load_file(models.WEIGHTS / f"{name}.safetensors"))


def test_further_training_of_the_diffusion_model_leaves_its_autoencoder_as_it_is(scenes):
    run = small("tiny_sd", start="tiny_sd")
    before = {k: v.clone() for k, v in run.objective.model.state_dict().items()}
    assert np.isfinite(run.advance(scenes, 0.1))
    after = run.objective.trained.state_dict()
    changed = {k.split(".")[0] for k, v in before.items() if not torch.equal(after[k], v)}
    assert "unet" in changed and "vae" not in changed


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_dino8", "tiny_mae", "tiny_sd"])
def test_an_interrupted_training_continues_as_if_it_had_not_stopped(name, tmp_path, scenes):
    results = []
    for stop in (None, 1, 2):
        run = small(name)
        for step, progress in enumerate((0.3, 0.7, 0.8)):
            if step == stop:
                torch.save(run.state(), tmp_path / "half.pt")
                run = small(name)
                run.restore(tmp_path / "half.pt")
            run.advance(scenes, progress)
        assert run.step == 3
        results.append(run.master.state_dict() | run.shipped())
    for result in results[1:]:
        assert [key for key, value in results[0].items() if not torch.equal(result[key], value)] == []


def test_a_checkpoint_of_other_settings_is_refused_and_kept(tmp_path):
    checkpoint = tmp_path / "half.pt"
    torch.save(Training("tiny_dino8", 3, "cpu").state(), checkpoint)
    kept = checkpoint.read_bytes()
    with pytest.raises(OtherSettings, match=r"half.pt began with seed 3 \(now 4\), peak 1.0 \(now 0.5\)"):
        Training("tiny_dino8", 4, "cpu", peak=0.5).restore(checkpoint)
    assert checkpoint.read_bytes() == kept


def test_the_weights_with_the_best_geometry_are_kept(tmp_path, scenes, monkeypatch):
    found = iter([0.7, 0.9, 0.8])
    row = lambda read: {"mean": 0.3, "kept": 0.4, "alone": 0.0, "auc": next(found)}  # noqa: E731
    monkeypatch.setattr(pretrain, "validation_geometry", row)
    monkeypatch.setattr(pretrain, "LOOK_EVERY", 1)
    run, weights = small("tiny_mae"), []
    for steps in (1, 2, 3):
        train(run, scenes, tmp_path, steps, minutes=None)
        weights.append(run.shipped())
    kept = load_file(tmp_path / "tiny_mae.safetensors")
    assert [row["auc"] for row in run.geometry] == [0.7, 0.9, 0.8]
    assert all(torch.equal(kept[k], weights[1][k]) for k in kept)
    assert not all(torch.equal(kept[k], weights[2][k]) for k in kept)
    again = small("tiny_mae")
    again.restore(tmp_path / "tiny_mae.pt")
    save(again, tmp_path / "again")
    assert all(torch.equal(v, kept[k]) for k, v in load_file(tmp_path / "again/tiny_mae.safetensors").items())


def test_only_weights_of_the_last_stage_are_kept_and_the_best_of_them(scenes, monkeypatch):
    run = small("tiny_dino8")
    aucs, usual = iter([0.99, 0.80, 0.97, 0.85, 0.82]), {"kept": 0.4, "mean": 0.3}
    alone = iter([0.0, 0.0, 0.5, 0.0, 0.0])
    monkeypatch.setattr(pretrain, "validation_geometry", lambda _: {"auc": next(aucs), "alone": next(alone), **usual})
    snapshots = []
    for progress in (0.1, 0.7, 0.7, 0.7, 0.7):
        run.advance(scenes, progress)
        snapshots.append(run.shipped())
        run.look()
    # not those of the first stage, nor those of the third row, in which half of the patches keep only themselves
    assert all(torch.equal(run.best[k], v) for k, v in snapshots[3].items())
    assert [g["ready"] for g in run.geometry] == [False, True, True, True, True]
    assert run.chosen() is run.geometry[3]
