"""Self-distillation of regions: neighbours and the four stages."""

import math
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

from proxyclip.tiny import models
from training.cache import SceneCache
from training.objectives.region_objective import (
    CROWD_WEIGHT,
    RegionObjective,
    neighbour_loss,
    patch_centres,
    window_features,
)
from training.objectives.vfm_objectives import MEAN, STD, recolour
from training.optim import WorkingCopy, fastest_dtype, frozen
from training.pretrain import Training
from training.recipes import RECIPES

STAGES = (0.2, 0.4, 0.7)


def test_centres_of_mirrored_patches_lie_on_the_other_side():
    centre, side = np.array([[60.0, 40.0], [60.0, 40.0]]), np.array([32.0, 32.0])
    plain, turned = patch_centres(centre, side, 4, np.array([[1, 1], [-1, 1]]))
    assert plain[0].tolist() == [48, 28] and plain[-1].tolist() == [72, 52]
    assert turned[0].tolist() == [72, 28] and turned[-1].tolist() == [48, 52]


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_the_neighbour_loss_is_a_logistic_loss_of_near_against_random_pairs():
    rng = np.random.default_rng(0)
    cosines, foreign = rng.uniform(-1, 1, (2, 2, 3, 4))
    near = rng.random((2, 3, 4)) < 0.5
    near[0, 1] = False  # a patch without neighbours
    losses = []
    for b, i in product(range(2), range(3)):
        beside = [softplus(-5 * (cosines[b, i, j] - 0.4)) for j in range(4) if near[b, i, j]]
        if not beside:
            continue
        home = np.mean([softplus(5 * (c - 0.4)) for c in cosines[b, i]])
        away = np.mean([softplus(5 * (c - 0.4)) for c in foreign[b, i]])
        losses.append(np.mean(beside) + 0.6 * home + 0.4 * away)
    found = neighbour_loss(*(torch.from_numpy(a) for a in (cosines, near, foreign)))
    assert found.item() == pytest.approx(np.mean(losses), abs=1e-9)


@pytest.mark.parametrize("progress", [0.1, 0.3, 0.5, 0.8])
def test_every_stage_reaches_every_block_and_reads_no_mask(scenes, progress):
    torch.manual_seed(0)
    objective = RegionObjective(models.build("tiny_dino"), stages=STAGES, region_batch=2, batch=2)
    module, losses = WorkingCopy(objective.trained).module, []
    for garbled in (False, True):
        data = scenes
        if garbled:  # other masks, the same pictures
            data = SceneCache(scenes.folder)
            data.instances = torch.zeros_like(scenes.instances)
        loss = objective.loss(module, data, progress, np.random.default_rng(3))
        losses.append(loss.item())
    loss.backward()
    assert losses[0] == losses[1]
    assert all(b.mlp.fc1.weight.grad.abs().sum() > 0 for b in module.model.blocks)
    assert bool(objective.teachers) == (progress >= 0.4)


def test_a_window_whose_cosines_crowd_together_is_charged(scenes):
    torch.manual_seed(0)
    module, losses = models.build("tiny_dino8"), []
    for crowd in (-1.0, 1.0):  # below and above every mean
        objective = RegionObjective(module, crowd=crowd, region_batch=2, batch=2)
        objective.teachers["windows"] = frozen(objective.trained, objective.averages["dino"])
        student = WorkingCopy(objective.trained).module
        losses.append(objective.windows(student, scenes, np.random.default_rng(3)).item())
    crops = recoloured(scenes, 4)
    unit = window_features(student.model, crops)
    mean = (unit @ unit.mT).mean().item()
    assert losses[0] - losses[1] == pytest.approx(CROWD_WEIGHT * (mean + 1), rel=1e-2)


def recoloured(scenes: SceneCache, count: int) -> torch.Tensor:
    """The windows that the third stage draws with this seed, normalised, in the precision of the training."""
    rng = np.random.default_rng(3)
    crops = scenes.windows(count, rng, zoom=(0.6, 1.25))
    images = recolour(crops.images, rng)
    return ((images - MEAN) / STD).to(fastest_dtype("cpu"))


@pytest.mark.parametrize("stages", [STAGES[:2], STAGES], ids=["three stages", "four stages"])
def test_a_training_taken_up_in_its_last_stage_goes_on_with_the_same_teacher(scenes, tmp_path, monkeypatch, stages):
    recipe = replace(RECIPES["tiny_dino8"], objective=partial(RegionObjective, stages=stages), geometry=None)
    monkeypatch.setitem(RECIPES, "tiny_dino8", recipe)
    first = Training("tiny_dino8", 0, "cpu")
    for progress in (0.1, 0.5, 0.9):
        first.advance(scenes, progress)
    torch.save(first.state(), tmp_path / "run.pt")
    second = Training("tiny_dino8", 0, "cpu")
    second.restore(tmp_path / "run.pt")
    assert second.objective.teachers.keys() == ({"windows", "pairs"} if len(stages) == 3 else {"windows"})
    assert (second.objective.pairs is not None) == (len(stages) == 3)
    assert first.advance(scenes, 0.9) == second.advance(scenes, 0.9)


def test_each_later_stage_is_taught_by_the_average_that_it_begins_with(scenes):
    torch.manual_seed(0)
    objective = RegionObjective(models.build("tiny_dino8"), stages=STAGES, region_batch=2, batch=2)
    module = WorkingCopy(objective.trained).module
    for stage, progress in (("windows", 0.5), ("pairs", 0.8)):
        for value in objective.averages["dino"].values():
            value.add_(0.1)  # the average has moved since the last stage
        objective.loss(module, scenes, progress, np.random.default_rng(3))
        for student in (objective.teachers[stage], module):
            for name, value in student.state_dict().items():
                expected = objective.averages["dino"][name]
                torch.testing.assert_close(value.float(), expected, atol=1e-3, rtol=2**-8)  # bfloat16
