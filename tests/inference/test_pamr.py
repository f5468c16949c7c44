"""PAMR against its definition in float64, and as an option of segment and evaluate."""

import json
import math
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_line import output_of
from scipy.special import softmax
from small_model import small_model

import proxyclip as pc
from proxyclip.evaluation.evaluator import run
from proxyclip.inference.labels import LOGIT_SCALE
from proxyclip.inference.pamr import refined_labels


def defined(masks: np.ndarray, image: np.ndarray, iterations: int, dilations: tuple[int, ...], k: float) -> np.ndarray:
    """The refinement from its definition, with neighbours at places that are moved back into the image."""
    height, width = image.shape[1:]
    rows, columns = np.mgrid[:height, :width]
    ring = [step for step in product((-1, 0, 1), repeat=2) if any(step)]
    steps = [(dilation * down, dilation * right) for dilation in dilations for down, right in ring]

    def neighbours(planes: np.ndarray) -> np.ndarray:  # (neighbours, C, H, W)
        return np.stack([planes[:, (rows + down).clip(0, height - 1), (columns + right).clip(0, width - 1)]
                         for down, right in steps])

    around = neighbours(image)
    sigma = np.concatenate([around, image[None]]).std(axis=0, ddof=1)
    weights = softmax(-(abs(around - image) / (k * sigma + 1e-8)).mean(axis=1), axis=0)
    for _ in range(iterations):
        masks = (weights[:, None] * neighbours(masks)).sum(axis=0)
    return masks


@pytest.mark.parametrize(("iterations", "dilations", "k"), [(1, (1,), 0.1), (3, (1, 2, 5), 0.5)])
@pytest.mark.parametrize("held", [1, 2 * 54, 10**9])
def test_masks_in_groups_of_any_size_are_refined_as_defined(iterations, dilations, k, held, monkeypatch):
    monkeypatch.setattr("proxyclip.inference.pamr.GROUP_NUMBERS", held)
    rng = np.random.default_rng(0)
    image, masks = rng.random((3, 6, 9)), rng.random((4, 6, 9))
    pamr = pc.PAMR(iterations, dilations, k)
    found = pamr.refine(torch.tensor(masks), torch.tensor(image))
    np.testing.assert_allclose(found.numpy(), defined(masks, image, iterations, dilations, k), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("threshold", "size"), [(None, (150, 190)), (0.35, (190, 150))])
def test_tiles_strips_and_groups_of_classes_do_not_change_the_labels(monkeypatch, threshold, size):
    model, image = small_model(), np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    words, pamr = ["sky; cloud", "horse", "grass; lawn; meadow", "sea"], pc.PAMR(3, (1, 4))
    whole = model.segment(image, words, None, threshold, pamr).labels
    monkeypatch.setattr("proxyclip.inference.pamr.TILE_PIXELS", 90 * 90)
    monkeypatch.setattr("proxyclip.inference.pamr.GROUP_PIXELS", 2 * 90 * 90)
    monkeypatch.setattr("proxyclip.inference.pamr.STRIP_NUMBERS", 2 * 16 * 90 * 7)
    sizes = []
    refine = pc.PAMR.refine
    monkeypatch.setattr(pc.PAMR, "refine", lambda self, masks, *rest: sizes.append(masks.shape) or refine(self, masks,
                                                                                                          *rest))
    assert (model.segment(image, words, None, threshold, pamr).labels == whole).all()
    assert len(sizes) >= 9 and max(side for _, *sides in sizes for side in sides) <= 90
    assert len(np.unique(whole)) > 2


@pytest.mark.parametrize("threshold", [None, 0.4])
@pytest.mark.parametrize("seed", range(6))
def test_classes_that_can_lead_nowhere_are_not_refined_and_no_label_changes(monkeypatch, seed, threshold):
    generator = torch.Generator().manual_seed(seed)
    image, scores = torch.rand(3, 12, 9, generator=generator), torch.rand(12, 12, 9, generator=generator)
    odds = scores.exp() * (0.02 + torch.rand(12, 1, 1, generator=generator)) ** 2
    odds[7] = odds[2]  # equal everywhere: the lower one wins
    probabilities, pamr, sizes, refine = odds / odds.sum(0), pc.PAMR(4, (1, 2)), [], pc.PAMR.refine
    best, expected = pamr.refine(probabilities, image).max(0)
    expected[best < (threshold or 0)] = 0

    def of_classes(*_):
        classes = [(start, probabilities[start : start + 5]) for start in (0, 5, 10)]
        return SimpleNamespace(classes=lambda region: iter(classes))

    monkeypatch.setattr("proxyclip.inference.pamr._Softmax", of_classes)
    monkeypatch.setattr(pc.PAMR, "refine", lambda self, masks, *rest: sizes.append(len(masks)) or refine(self, masks,
                                                                                                         *rest))
    found = refined_labels(SimpleNamespace(size=(12, 9)), None, image, pamr, threshold)
    assert torch.equal(found, expected) and sum(sizes) < 12


def test_an_image_of_one_colour_gives_every_neighbour_the_same_weight():
    affinities = pc.PAMR(dilations=(1, 3)).affinities(torch.full((3, 5, 5), 0.3))
    torch.testing.assert_close(affinities, torch.full((16, 5, 5), 1 / 16))


def test_contrast_and_brightness_of_the_image_do_not_matter():
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(pc.PAMR().affinities(image), pc.PAMR().affinities(0.3 * image + 0.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("given", "sentence"), [
    ({"iterations": 0}, "iterations of PAMR must be whole numbers of at least 1, got 0"),
    ({"dilations": (1, -2)}, "dilations of PAMR must be whole numbers"), ({"dilations": ()}, "dilations of PAMR"),
    ({"k": 0}, "k of PAMR must be a positive number, got 0"), ({"k": math.inf}, "k of PAMR must be")])
def test_an_impossible_setting_is_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        pc.PAMR(**given)


def test_its_name_lists_what_differs_from_the_defaults():
    assert pc.PAMR(10, (1, 2, 4, 8, 12, 24), 0.1).name == "pamr"
    assert pc.PAMR(k=0.30000001).name == "pamr:k=0.30000001"
    assert pc.PAMR(5, [1, 2], 0.2).name == "pamr:iterations=5,dilations=1+2,k=0.2" and hash(pc.PAMR(5, [1, 2]))


@pytest.mark.parametrize("threshold", [None, 0.3])
def test_segmenting_with_it_labels_by_the_refined_probabilities_of_the_classes(threshold):
    model = small_model()
    image = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    classes = ["sky; cloud", "horse", "grass"]
    probabilities = (LOGIT_SCALE * model.logits(image, classes).double()).softmax(0)
    masks = torch.stack([probabilities[:2].amax(0), *probabilities[2:]])
    best, expected = pc.PAMR(3).refine(masks, torch.tensor(image).permute(2, 0, 1).double() / 255).max(0)
    if threshold is not None:
        expected[best < threshold] = 0
    found = model.segment(image, classes, prob_threshold=threshold, refine=pc.PAMR(3)).labels
    assert (found == expected.numpy()).mean() > 0.999  # float32 may decide a tie otherwise
    assert (found != model.segment(image, classes, prob_threshold=threshold).labels).any()


def test_an_evaluation_gives_every_rule_without_and_with_it():
    model, data = small_model(), pc.dataset("tiny/voc", length=2)
    plain = run(model, data, ["adaptive", "qq"])
    both = run(model, data, ["adaptive", "qq"], refine=pc.PAMR(2))
    assert "refine" not in plain.settings and both.settings["refine"] == "pamr:iterations=2"
    assert both.rules == ["adaptive:1.2,3", "qq", "adaptive:1.2,3 + pamr:iterations=2", "qq + pamr:iterations=2"]
    for before, after in zip(plain.tally.confusions, both.tally.confusions[:2], strict=True):
        assert np.array_equal(before.counts, after.counts)
    text = model.encode_classes(data.vocabulary)
    counts = np.zeros_like(both.tally.confusions[2].counts)
    under = pc.ProxyCLIP(model.clip, model.vfm, window=64, stride=32, pad_multiple=8)
    for sample in data:
        labels = under.segment(np.array(sample.image), text, prob_threshold=data.protocol.prob_threshold,
                               refine=pc.PAMR(2)).labels
        seen = sample.labels >= 0
        np.add.at(counts, (sample.labels[seen], labels[seen]), 1)
    assert np.array_equal(both.tally.confusions[2].counts, counts)


def test_the_command_line_takes_it(tmp_path):
    picture = tmp_path / "scene.png"
    pc.dataset("tiny/voc20")[0].image.crop((0, 0, 64, 64)).save(picture)
    common = ["--clip-weights", "random", "--vfm-weights", "random", "--vfm", "tiny_dino", "--profile", "tiny"]
    said = output_of("segment", picture, "--classes", "sky, grass", "--pamr", "-o", tmp_path / "out.png", *common)
    assert "rule adaptive:1.2,3 + pamr" in said
    output_of("evaluate", "--dataset", "tiny/voc20", "--limit", 1, "--pamr", "--output", tmp_path / "run.json", *common)
    scores = json.loads((tmp_path / "run.json").read_text())["scores"]
    assert [row["rule"] for row in scores] == ["adaptive:1.2,3", "adaptive:1.2,3 + pamr"]
