"""Which weights a training keeps."""

import torch
from safetensors.torch import load_file

from proxyclip.tiny.training.pretrain import Training, save, train


def small(name: str, seed: int = 3) -> Training:
    run = Training(name, seed, "cpu")
    run.objective.batch = run.objective.pair_batch = 3
    return run


def test_the_weights_with_the_best_geometry_are_kept(tmp_path, scenes, monkeypatch):
    found = iter([0.7, 0.9, 0.8])
    row = lambda read: {"mean": 0.3, "kept": 0.4, "alone": 0.0, "auc": next(found)}  # noqa: E731
    monkeypatch.setattr("proxyclip.tiny.training.pretrain.validation_geometry", row)
    monkeypatch.setattr("proxyclip.tiny.training.pretrain.LOOK_EVERY", 1)
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
    run = Training("tiny_dino8", 0, "cpu")
    aucs, usual = iter([0.99, 0.80, 0.97, 0.85, 0.82]), {"kept": 0.4, "mean": 0.3}
    alone = iter([0.0, 0.0, 0.5, 0.0, 0.0])
    row = lambda *_: {"auc": next(aucs), "alone": next(alone), **usual}  # noqa: E731
    monkeypatch.setattr("proxyclip.tiny.training.pretrain.validation_geometry", row)
    snapshots = []
    for progress in (0.1, 0.7, 0.7, 0.7, 0.7):
        run.advance(scenes, progress)
        snapshots.append(run.shipped())
        run.look()
    assert all(torch.equal(run.best[k], v) for k, v in snapshots[3].items())  # not the first stage, nor lonely rows
    assert [g["ready"] for g in run.geometry] == [False, True, True, True, True]
    assert run.chosen() is run.geometry[3]
