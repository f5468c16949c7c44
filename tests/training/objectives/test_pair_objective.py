"""Self-distillation of pairs, and what the MAE and the diffusion model need for it."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from proxyclip.tiny import models
from training.objectives.diffusion_objective import unet_features
from training.objectives.mae_objective import restoration_targets
from training.objectives.pair_objective import (
    PairTeacher,
    composed,
    composed_likeness,
    composed_loss,
    diffused,
    mean_by_place,
    pair_loss,
    pooled,
    random_shapes,
)


def test_a_composed_window_shows_the_next_windows_of_the_batch_inside_the_shapes():
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 4, 4)
    source = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (3, 4, 4)))
    for b, y, x in np.ndindex(3, 4, 4):
        assert composed(images, source)[b, 0, y, x] == (b + source[b, y, x]) % 3


def test_shapes_are_taken_from_three_scenes_and_do_not_repeat():
    shapes = random_shapes(32, 64, np.random.default_rng(0))
    assert shapes.shape == (32, 64, 64) and set(np.unique(shapes)) == {0, 1, 2}
    assert len({shape.tobytes() for shape in shapes}) == 32
    assert (np.array([len(np.unique(shape)) for shape in shapes]) > 1).mean() > 0.8
    np.testing.assert_array_equal(shapes, random_shapes(32, 64, np.random.default_rng(0)))


def test_pairs_of_a_composed_window_are_judged_in_the_scene_that_they_come_from():
    rng = np.random.default_rng(0)
    likeness = torch.from_numpy(rng.uniform(-1, 1, (3, 5, 5)))
    source = torch.from_numpy(rng.integers(-1, 3, (3, 5)))
    both, one_scene = composed_likeness(likeness, source)
    for b, i, j in np.ndindex(3, 5, 5):
        s, t = int(source[b, i]), int(source[b, j])
        assert bool(one_scene[b, i, j]) == (s == t)
        if s == t >= 0:
            assert both[b, i, j] == likeness[(b + s) % 3, i, j]


def test_the_teacher_takes_out_what_is_the_same_at_a_place_in_every_window(scenes):
    torch.manual_seed(0)
    places, content = 5 * torch.randn(256, 8), torch.nn.Conv2d(3, 8, 4, stride=4)

    def read(images: torch.Tensor) -> torch.Tensor:
        return content(images).flatten(2).mT + places

    images = scenes.windows(4, np.random.default_rng(0)).images
    mean = mean_by_place(read, scenes, windows=64)
    assert (mean - places).std() < 0.1 * places.std()
    with torch.no_grad():
        f = content(images).flatten(2).mT
        f = F.normalize(diffused(pooled(f - (mean - places))), dim=-1)
        torch.testing.assert_close(PairTeacher(read, mean).likeness(images), f @ f.mT, rtol=0, atol=1e-3)


def test_pooling_and_diffusion_are_averages_over_neighbours_and_over_the_alike():
    torch.manual_seed(0)
    features = torch.randn(1, 9, 4, dtype=torch.float64)
    f = features[0].numpy() / np.linalg.norm(features[0].numpy(), axis=1, keepdims=True)
    corner, middle = f[[0, 1, 3, 4]].mean(0), f.mean(0)
    np.testing.assert_allclose(pooled(features)[0, 0], corner)
    np.testing.assert_allclose(pooled(features)[0, 4], middle)
    weights = np.exp(20 * f @ f.T)
    np.testing.assert_allclose(diffused(features)[0], weights / weights.sum(1, keepdims=True) @ f)


def test_what_is_restored_are_normalised_pixels_and_the_colours_around_them():
    image = np.random.default_rng(0).random((1, 3, 12, 12))
    detail, around = (t[0].numpy() for t in restoration_targets(torch.from_numpy(image), 4))
    cells = image[0].reshape(3, 3, 4, 3, 4).transpose(1, 3, 0, 2, 4).reshape(9, 48)
    expected = (cells - cells.mean(1, keepdims=True)) / np.sqrt(cells.var(1, ddof=1, keepdims=True) + 1e-2)
    np.testing.assert_allclose(detail, expected)
    np.testing.assert_allclose(around[4], [*image[0].mean((1, 2)), *2 * image[0].std((1, 2))])
    np.testing.assert_allclose(around[0, :3], image[0, :, :8, :8].mean((1, 2)))


def test_the_diffusion_model_is_read_while_it_learns_as_it_is_read_later():
    torch.manual_seed(0)
    model = models.build("tiny_sd").eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        later = model.forward_features(images * 2 - 1).flatten(2).mT
        now = unet_features(model, images, (model.block,), model.timestep)
    torch.testing.assert_close(now, F.normalize(later, dim=-1), rtol=1e-4, atol=1e-5)


def loss_with_loops(cosines, same, other, within, across):
    total = weights = 0.0
    for rows in zip(cosines, same, other, strict=True):
        for cosine, attracts, repels in zip(*rows, strict=True):
            if not attracts.any():  # a patch that belongs to no scene
                continue
            pull = [math.log1p(math.exp(within[0] * (within[1] - c))) for c in cosine[attracts]]
            push = [math.log1p(math.exp(across[0] * (c - across[1]))) for c in cosine[repels]]
            repulsion = sum(push) / math.sqrt(len(pull) * max(1, len(push)))
            total += (sum(pull) / len(pull) + repulsion) / math.sqrt(len(pull))
            weights += 1 / math.sqrt(len(pull))
    return total / weights


def test_the_pair_loss_weighs_patches_and_repulsion_by_the_size_of_their_region():
    cosines = np.random.default_rng(0).uniform(-1, 1, (1, 4, 4))
    same = np.array([[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]], bool)
    other = np.array([[[0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]], bool)
    limits = {"within": (10.0, 0.8), "across": (8.0, -0.1)}
    found = pair_loss(*(torch.from_numpy(a) for a in (cosines, same, other)), **limits)
    assert found.item() == pytest.approx(loss_with_loops(cosines, same, other, **limits), abs=1e-6)


def test_patches_of_composed_windows_attract_within_a_scene_where_the_teacher_finds_them_alike():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((3, 6, 4))
    likeness, source = rng.uniform(-1, 1, (3, 6, 6)), rng.integers(-1, 3, (3, 6))
    likeness[:, range(6), range(6)] = 1
    both, _ = composed_likeness(torch.from_numpy(likeness), torch.from_numpy(source))
    same, other = np.zeros((2, 3, 6, 6), bool)
    for b, i, j in np.ndindex(3, 6, 6):
        if min(source[b, i], source[b, j]) >= 0:
            one_scene = source[b, i] == source[b, j]
            same[b, i, j] = one_scene and both[b, i, j] > 0.9
            other[b, i, j] = not one_scene or both[b, i, j] < 0.3
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    expected = loss_with_loops(unit @ unit.transpose(0, 2, 1), same, other, within=(12, 0.75), across=(10, -0.25))
    found = composed_loss(*(torch.from_numpy(a) for a in (features, likeness, source)))
    assert found.item() == pytest.approx(expected, rel=1e-5)
