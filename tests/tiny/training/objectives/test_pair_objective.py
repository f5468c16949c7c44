"""Self-distillation of pairs, and masked autoencoding and diffusion before it."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from proxyclip.tiny import models
from proxyclip.tiny.training.objectives import diffusion_objective, pair_objective
from proxyclip.tiny.training.objectives.mae_objective import restoration_targets
from proxyclip.tiny.training.objectives.pair_objective import (
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
from proxyclip.tiny.training.pretrain import Training


@pytest.fixture(autouse=True)
def few_windows_tell_the_mean_of_a_place(monkeypatch):
    monkeypatch.setattr(pair_objective, "mean_by_place", partial(mean_by_place, windows=32))


def small(name: str, seed: int = 3) -> Training:
    run = Training(name, seed, "cpu")
    run.objective.batch = run.objective.pair_batch = 3
    return run


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


def test_the_loss_of_pairs_is_a_sum_over_anchors_of_what_attracts_and_what_repels():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((3, 6, 4))
    likeness, source = rng.uniform(-1, 1, (3, 6, 6)), rng.integers(-1, 3, (3, 6))
    likeness[:, range(6), range(6)] = 1
    both, _ = composed_likeness(torch.from_numpy(likeness), torch.from_numpy(source))
    total = weights = 0.0
    for b in range(3):
        f = features[b] / np.linalg.norm(features[b], axis=1, keepdims=True)
        for i in range(6):
            if source[b, i] < 0:
                continue
            pull, push = [], []
            for j in range(6):
                if source[b, j] < 0:
                    continue
                cosine, same = f[i] @ f[j], source[b, i] == source[b, j]
                if same and both[b, i, j] > 0.9:
                    pull.append(math.log1p(math.exp(12 * (0.75 - cosine))))
                elif not same or both[b, i, j] < 0.3:
                    push.append(math.log1p(math.exp(10 * (cosine + 0.25))))
            weight = len(pull) ** -0.5
            repel = sum(push) / math.sqrt(len(pull) * max(1, len(push)))
            total += weight * (sum(pull) / len(pull) + repel)
            weights += weight
    found = composed_loss(torch.from_numpy(features), torch.from_numpy(likeness), torch.from_numpy(source))
    assert found.item() == pytest.approx(total / weights, rel=1e-5)


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


PARTS = [("tiny_mae", 0.5), ("tiny_sd", 0.1), ("tiny_sd", 0.3), ("tiny_sd", 0.6)]


@pytest.mark.parametrize(("name", "progress"), PARTS)
def test_each_part_of_a_training_changes_what_it_trains(name, progress, scenes):
    run = small(name)
    before = {k: v.clone() for k, v in run.objective.trained.state_dict().items()}
    assert np.isfinite(run.advance(scenes, progress))
    after = run.objective.trained.state_dict()
    changed = {k.split(".")[0] for k, v in before.items() if not torch.equal(after[k], v)}
    expected = {("tiny_mae", 0.5): "model", ("tiny_sd", 0.1): "vae"}.get((name, progress), "unet")
    assert expected in changed and len(changed & {"vae", "unet"}) < 2
    assert (run.objective.teacher is not None) == (progress >= 0.5)


@pytest.mark.parametrize("name", ["tiny_mae", "tiny_sd"])
def test_a_training_goes_on_with_its_teacher_as_if_it_had_not_stopped(name, tmp_path, scenes):
    runs = {}
    for stops in ((), (1,), (2,)):
        run = small(name)
        for step, progress in enumerate((0.3, 0.7, 0.8)):
            if step in stops:
                torch.save(run.state(), tmp_path / "half.pt")
                run = small(name)
                run.restore(tmp_path / "half.pt")
            run.advance(scenes, progress)
        runs[stops] = run.master.state_dict()
    for stops in ((1,), (2,)):
        assert [key for key, value in runs[()].items() if not torch.equal(runs[stops][key], value)] == []


def test_the_diffusion_model_is_read_while_it_learns_as_it_is_read_later():
    torch.manual_seed(0)
    model = models.build("tiny_sd").eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        later = model.forward_features(images * 2 - 1).flatten(2).mT
        now = diffusion_objective.unet_features(model, images, (model.block,), model.timestep)
    torch.testing.assert_close(now, F.normalize(later, dim=-1), rtol=1e-4, atol=1e-5)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_the_pair_loss_weighs_patches_and_repulsion_by_the_size_of_their_region():
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (1, 4, 4))
    same = np.array([[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]], bool)
    other = np.array([[[0, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]]], bool)
    total = weights = 0.0
    for i in range(4):
        own, others = same[0, i].sum(), other[0, i].sum()
        pull = sum(softplus(10 * (0.8 - cosines[0, i, j])) for j in range(4) if same[0, i, j]) / own
        push = sum(softplus(8 * (cosines[0, i, j] + 0.1)) for j in range(4) if other[0, i, j]) / math.sqrt(own * others)
        total, weights = total + (pull + push) / math.sqrt(own), weights + 1 / math.sqrt(own)
    found = pair_loss(*(torch.from_numpy(a) for a in (cosines, same, other)), within=(10.0, 0.8), across=(8.0, -0.1))
    assert found.item() == pytest.approx(total / weights, abs=1e-6)
