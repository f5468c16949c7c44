"""The stage that gives a family its base and its individual part, against references in loops."""

import numpy as np
import pytest
import torch

from proxyclip.tiny import models
from training.objectives.geometry_objective import FOREIGN, GeometryTarget, geometry_loss, teacher_likeness
from training.objectives.vfm_objectives import SamObjective
from training.optim import WorkingCopy


def test_the_loss_is_that_of_loops_in_double_precision():
    rng = np.random.default_rng(7)
    cosines, likeness = rng.uniform(-1, 1, (2, 2, 8, 8))
    known = rng.random((2, 8)) < 0.8
    target = GeometryTarget(base=0.3, individual=0.2, source="")
    total = weights = 0.0
    for c, t, k in zip(cosines, likeness, known, strict=True):
        for i in np.flatnonzero(k):
            pairs = [j for j in np.flatnonzero(k) if j != i]
            wrong = {j: (c[i, j] - (0.5 * t[i, j] + 0.3)) ** 2 for j in pairs}
            alike, other = [j for j in pairs if t[i, j] >= 0.5], [j for j in pairs if t[i, j] < 0.5]
            own, others = max(len(alike), 1), max(len(other), 1)
            row = sum(wrong[j] for j in alike) / own + sum(wrong[j] for j in other) / (own * others) ** 0.5
            total, weights = total + row / own**0.5, weights + own**-0.5
    found = geometry_loss(*map(torch.from_numpy, (cosines, likeness)), target, torch.from_numpy(known))
    assert float(found) == pytest.approx(total / weights, rel=1e-6)


def test_a_histogram_keeps_the_order_of_the_teacher_s_pairs_and_nothing_else():
    rng = np.random.default_rng(3)
    likeness = np.tanh(rng.normal(0, 2, (3, 9, 9))).astype(np.float32)
    target = GeometryTarget(source="", histogram=((0.0, -0.1), (0.5, 0.2), (0.9, 0.6), (1.0, 0.8)))
    found = target.cosines(torch.from_numpy(likeness)).numpy()
    different = np.broadcast_to(~np.eye(9, dtype=bool), likeness.shape)
    pairs, wanted = likeness[different], found[different]
    assert (np.diff(wanted[np.argsort(pairs)]) >= 0).all()
    np.testing.assert_allclose(np.quantile(wanted, (0, 0.5, 0.9, 1)), (-0.1, 0.2, 0.6, 0.8), atol=2e-2)
    knots = np.quantile(pairs, (0, 0.5, 0.9, 1))
    np.testing.assert_allclose(wanted, np.interp(pairs, knots, (-0.1, 0.2, 0.6, 0.8)), atol=1e-6)


def shaped(target: GeometryTarget) -> SamObjective:
    torch.manual_seed(0)
    objective = SamObjective(models.load("tiny_sam").train(), batch=2)
    objective.target, objective.begins, objective.shaping_batch = target, 0.0, 3
    return objective


def test_the_stage_reads_no_mask_and_reaches_every_block(scenes):
    objective = shaped(GeometryTarget(base=0.5, individual=0.1, source=""))
    module = WorkingCopy(objective.trained).module
    assert not objective.ready
    objective.loss(module, scenes, 0.0, np.random.default_rng(0)).backward()
    assert objective.ready and objective.samples == 3
    assert all(block.mlp.lin1.weight.grad.abs().sum() > 0 if hasattr(block.mlp, "lin1")
               else block.mlp.fc1.weight.grad.abs().sum() > 0 for block in module.model.blocks)


def test_a_window_and_its_mirror_image_are_read_alike_by_the_teacher(scenes):
    model = models.load("tiny_sam")
    images = scenes.windows(2, np.random.default_rng(1)).images
    side = 16
    mirrored = torch.arange(side * side).view(side, side).flip(1).flatten()

    def read(images: torch.Tensor) -> torch.Tensor:
        return model.forward_features(images).flatten(2).mT

    one, two = teacher_likeness(read, images), teacher_likeness(read, images.flip(-1))
    torch.testing.assert_close(one, two[:, mirrored][:, :, mirrored], atol=1e-4, rtol=0)
    # averages over neighbours and over what looks alike
    assert teacher_likeness(read, images, smooth=True).mean() > one.mean()


def test_patches_of_different_scenes_are_foreign_only_where_windows_are_composed(scenes, monkeypatch):
    seen = {}
    monkeypatch.setattr("training.objectives.geometry_objective.geometry_loss",
                        lambda cosines, likeness, target, known: seen.update(likeness=likeness, known=known) or
                        cosines.sum())
    for composed in (True, False):
        objective = shaped(GeometryTarget(base=0.5, individual=0.1, source="", composed=composed))
        objective.loss(WorkingCopy(objective.trained).module, scenes, 0.0, np.random.default_rng(0))
        assert bool((seen["likeness"] == FOREIGN).any()) == composed and bool(seen["known"].all()) == (not composed)
