"""Training: each part learns, further trainings and interrupted ones continue, and the last stage is by itself."""

import runpy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from proxyclip.tiny import models
from training import pretrain
from training.pretrain import OtherSettings, Training, train
from training.recipes import RECIPES


def small(name: str, seed: int = 3, start: str | None = None) -> Training:
    run = Training(name, seed, "cpu", start=start and models.WEIGHTS / f"{start}.safetensors")
    run.objective.batch = (8, 4) if name == "tiny_clip" else 3
    for other in ("pair_batch", "region_batch", "shaping_batch"):
        setattr(run.objective, other, 3)
    return run


@pytest.mark.parametrize(
    ("name", "progress"), [*((name, 0.3) for name in RECIPES), ("tiny_mae", 0.5), ("tiny_sd", 0.1), ("tiny_sd", 0.6),
                         ("tiny_mae", 0.99), ("tiny_sd", 0.99), ("tiny_sam", 0.99), ("tiny_dinov2", 0.99)])
def test_each_part_of_a_training_changes_what_it_trains(name, progress, scenes):
    run = small(name)
    before = {k: v.clone() for k, v in run.master.state_dict().items()}
    assert np.isfinite(run.advance(scenes, progress))
    changed = {k.split(".")[0] for k, v in run.master.state_dict().items() if not torch.equal(before[k], v)}
    if name == "tiny_sd":
        assert changed & {"vae", "unet"} == {"vae" if progress == 0.1 else "unet"}
    if name in ("tiny_mae", "tiny_sd"):
        distils = progress == 0.6 or name == "tiny_mae" and progress == 0.5
        assert run.objective.teachers.keys() == ({"geometry"} if progress == 0.99 else {"pairs"} if distils else set())
    assert changed
    models.build(name).load_state_dict({k: v.float() for k, v in run.shipped().items()})


@pytest.mark.parametrize("name", ["tiny_sd", "tiny_mae", "tiny_dino8"])
def test_further_training_starts_from_the_weights_it_is_given_and_has_the_last_stage_alone(name, scenes):
    run = small(name, start=name)
    torch.testing.assert_close(run.shipped(), load_file(models.WEIGHTS / f"{name}.safetensors"))
    before = {k: v.clone() for k, v in run.master.state_dict().items()}
    assert np.isfinite(run.advance(scenes, 0.0))
    assert run.objective.ready and run.objective.teachers.keys() == {"geometry"}
    changed = {k.split(".")[0] for k, v in run.master.state_dict().items() if not torch.equal(before[k], v)}
    assert changed and "vae" not in changed, "the diffusion model's autoencoder stays"


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_dino8", "tiny_mae", "tiny_sd"])
def test_an_interrupted_training_continues_as_if_it_had_not_stopped(name, tmp_path, scenes):
    results = []
    for stops in (False, True):
        run = small(name)
        for step, progress in enumerate((0.3, 0.7, 0.99)):
            if step and stops:
                torch.save(run.state(), tmp_path / "half.pt")
                run = small(name)
                run.restore(tmp_path / "half.pt")
            run.advance(scenes, progress)
        assert run.step == 3
        results.append(run.master.state_dict() | run.shipped())
    assert [key for key, value in results[0].items() if not torch.equal(results[1][key], value)] == []


def test_a_checkpoint_of_other_settings_is_refused_and_kept(tmp_path):
    checkpoint = tmp_path / "half.pt"
    torch.save(Training("tiny_dino8", 3, "cpu").state(), checkpoint)
    kept = checkpoint.read_bytes()
    with pytest.raises(OtherSettings, match=r"half.pt began with seed 3 \(now 4\), peak 1.0 \(now 0.5\)"):
        Training("tiny_dino8", 4, "cpu", peak=0.5).restore(checkpoint)
    assert checkpoint.read_bytes() == kept
    torch.save({"settings": {"seed": 3, "start": None, "peak": 1.0}}, checkpoint)
    with pytest.raises(OtherSettings, match=r"half.pt began with format None \(now 2\)"):
        Training("tiny_dino8", 3, "cpu").restore(checkpoint)


def test_the_last_stage_ships_an_average_of_its_own_weights_alone(tmp_path, scenes):
    run = small("tiny_mae")
    for progress in (0.1, 0.2):
        run.advance(scenes, progress)
    taught = {k: v.clone() for k, v in run.objective.averages["slow"].items()}
    run.recipe = replace(run.recipe, muon_lr=0.0, adam_lr=0.0)
    run.advance(scenes, 0.99)  # nothing is learned, so what ships is what the stage began with
    assert run.began == 2 and run.objective.ready
    name = "blocks.0.attn.qkv.weight"
    torch.testing.assert_close(run.shipped()[name].float(), taught[f"model.{name}"], atol=1e-3, rtol=0)
    train(run, scenes, tmp_path, 3, minutes=None)
    torch.testing.assert_close(load_file(tmp_path / "tiny_mae.safetensors"), run.shipped())
    assert run.geometry[-1]["step"] == 3 and len(run.geometry[-1]["quantiles"]) == 5


def test_the_last_stage_has_a_schedule_of_its_own():
    begins = RECIPES["tiny_dino"].begins
    assert pretrain.factor(begins - 1e-6, begins, 0.4) == pytest.approx(0.02, rel=1e-2)
    assert pretrain.factor((1 + begins) / 2, begins, 0.4) == 0.4
    assert pretrain.factor(1.0, begins, 0.4) == pytest.approx(0.02 * 0.4)
    assert pretrain.factor(0.5, 1.0, 0.4) == 1.0  # without such a stage


def test_the_trainer_starts_by_itself(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["training.pretrain", "--help"])
    with pytest.raises(SystemExit) as ended, pytest.warns(RuntimeWarning, match="found in sys.modules"):
        runpy.run_module("training.pretrain", run_name="__main__")
    assert ended.value.code == 0 and "--start" in capsys.readouterr().out
    # pytest has imported the package, and with it torchvision's schemas; alone, training imports it before its modules
    assert subprocess.run([sys.executable, "-c", "import sys, training; sys.modules['proxyclip']"]).returncode == 0
