"""From images to labels with small random models: sizes, kinds, batches, files written."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_model import small_model

import proxyclip as pc

RULES = [pc.Adaptive(), pc.HardMask(0.4), pc.Identity(), pc.ClipAttention("qk"), pc.Vanilla(), pc.MaskCLIP()]
CLASSES = ["sky; cloud", "horse", "grass"]


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return small_model()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("constant", [None, 0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (32, 32), (45, 70), (20, 31)])
def test_logits_and_labels_have_the_size_of_the_image_and_are_finite_also_where_it_is_of_one_colour(
    model, size, constant
):
    image = noise(*size) if constant is None else np.full((*size, 3), constant, np.uint8)
    for rule in RULES:
        logits = model.logits(image, CLASSES, rule)
        assert logits.shape == (4, *size) and logits.dtype == torch.float32
        assert logits.isfinite().all() and logits.abs().max() <= 1 + 1e-5
    labels = model.segment(image, CLASSES).labels
    assert labels.shape == size and np.issubdtype(labels.dtype, np.integer) and labels.max() <= 2


def test_windows_alone_and_in_a_batch_agree(model):
    images = torch.stack([torch.tensor(noise(32, 32, seed)).permute(2, 0, 1) / 255 for seed in range(3)])
    proxy = torch.randn(3, 6, 6, 8, generator=torch.Generator().manual_seed(4))
    proxy += torch.tensor([0.0, 0.4, 2.0]).view(3, 1, 1, 1)  # three images of different mean similarity
    pixels = model.clip.normalize(images)
    together = model.clip.embed(pixels, RULES, proxy)
    for number in range(3):
        one = slice(number, number + 1)
        for batched, single in zip(together, model.clip.embed(pixels[one], RULES, proxy[one]), strict=True):
            assert (batched[one] - single).abs().max() < 1e-5


def test_a_model_takes_at_most_its_batch_of_windows_at_a_time(model):
    image, seen = noise(64, 80), []
    limited = replace(model, batch=2)
    handed = [len(windows.boxes) for windows in limited.windows(image)]
    assert max(handed) == 2 and sum(handed) == len(model.prepare_windows(image).boxes)
    limited.embed(image, RULES, lambda features: seen.append(len(features)))
    assert seen == handed
    limited.embed(image, [pc.Vanilla()], lambda _: pytest.fail("no rule reads the foundation model"))
    assert (limited.logits(image, CLASSES) - model.logits(image, CLASSES)).abs().max() < 1e-5


def test_windows_and_features_are_those_that_the_networks_see(model):
    image = noise(45, 70)
    _, pixels, boxes, padding = model.prepare_windows(image)
    single = list(model.windows(image, batch=1))
    assert [windows.boxes[0] for windows in single] == boxes
    for windows, box in zip(single, boxes, strict=True):
        cut = pixels[None, :, box.top : box.bottom, box.left : box.right]
        assert torch.equal(windows.cut(windows.pixels), cut)
        assert torch.equal(windows.vfm_features(), model.vfm.features(model.vfm.normalize(cut)))
        assert torch.equal(windows.clip_trunk().states[-1], model.clip.trunk(model.clip.normalize(cut)).states[-1])
    assert all(len(windows.boxes) == len(windows.vfm_features()) for windows in model.windows(image))
    assert sum(len(windows.boxes) for windows in model.windows(image, boxes[2:4])) == 2


@pytest.mark.parametrize(("settings", "sentence"), [
    (dict(window=7, stride=7), "window must be at least 8 pixels, one patch of small, got 7"),
    (dict(window=0), "window must be a positive number"),
    (dict(window=32, stride=40), "stride must not exceed window"),
    (dict(short_side=-3), "short_side must be a positive number of pixels or None, got -3"),
    (dict(batch=0), "batch must be a positive number of windows or None, got 0"),
])
def test_impossible_windows_are_refused(model, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(model, **settings)


def test_a_model_without_vision_model_answers_clip_rules_and_refuses_the_others(model):
    bare = replace(model, vfm=None)
    assert bare.describe() == "small with no VFM, windows of 32 px every 16 px"
    assert bare.logits(noise(32, 32), CLASSES, pc.MaskCLIP()).shape == (4, 32, 32)
    for ask in (lambda: bare.logits(noise(32, 32), CLASSES), next(bare.windows(noise(32, 32))).vfm_features):
        with pytest.raises(ValueError, match="pass vfm=NAME"):
            ask()
