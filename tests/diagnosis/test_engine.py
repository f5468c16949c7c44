"""A diagnosis costs few passes, agrees with evaluations made the long way, and finds a planted deviation."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from command_line import output_of
from miniature import write_tree
from open_clip.transformer import QuickGELU
from PIL import Image
from small_model import opened, small_model
from torch import nn

import proxyclip as pc
from proxyclip.data.base import Dataset
from proxyclip.diagnosis.engine import diagnose
from proxyclip.diagnosis.setting_costs import Diagnosis, finding, resampled
from proxyclip.diagnosis.settings import SETTINGS
from proxyclip.diagnosis.variants import round_to_half
from proxyclip.evaluation.metrics import Confusion
from proxyclip.models.clip import DenseCLIP
from proxyclip.models.vfm import VFM

SCENES = 3


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return pc.load(vfm="tiny_sam")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return pc.dataset("tiny/voc", length=SCENES)


@pytest.fixture(scope="module")
def passes() -> dict[str, int]:
    """Windows that go through the backbones while the module's diagnosis is made."""
    return {"clip": 0, "vfm": 0}


@pytest.fixture(scope="module")
def diagnosis(model, data, passes) -> Diagnosis:
    with pytest.MonkeyPatch.context() as patch:
        trunk, features = DenseCLIP.trunk, VFM.features

        def counted_trunk(self, pixels, *given, **named):
            passes["clip"] += len(pixels)
            return trunk(self, pixels, *given, **named)

        def counted_features(self, pixels):
            passes["vfm"] += len(pixels)
            return features(self, pixels)

        patch.setattr(DenseCLIP, "trunk", counted_trunk)
        patch.setattr(VFM, "features", counted_features)
        return diagnose(model, data)


def test_twenty_settings_cost_at_most_eight_evaluations(diagnosis, passes):
    tried = [name for name in (*diagnosis.frame().setting, *diagnosis.left_out)
             if diagnosis.left_out.get(name, "it changes no label of these images").startswith("it changes")]
    windows = SCENES * 9  # 64-pixel windows every 32 pixels on 128 x 128
    assert len(tried) >= 20
    assert sum(passes.values()) <= 8 * 2 * windows
    assert diagnosis.evaluations == sum(passes.values()) / (2 * windows)


def test_the_protocol_itself_scores_what_an_evaluation_gives_and_explains_it(diagnosis, model, data):
    observed = pc.evaluate(model, data).miou[0]
    assert diagnosis.miou == pytest.approx(observed, rel=1e-12)
    first = diagnosis.explain(observed)[0]
    assert first.settings == () and "the protocol itself" in str(first)


def with_other_activation(model: pc.ProxyCLIP, data: Dataset) -> float:
    clip = copy.deepcopy(model.clip)
    clip.forget_queries()
    for tower in (clip.model.visual.transformer, clip.model.transformer):
        for block in tower.resblocks:
            assert isinstance(block.mlp.gelu, nn.GELU)
            block.mlp.gelu = QuickGELU()
    return pc.evaluate(replace(model, clip=clip), data).miou[0]


def with_one_word_for_background(model: pc.ProxyCLIP, data: Dataset) -> float:
    words = ["background", *data.vocabulary.plain()[1:]]
    return pc.evaluate(model, pc.dataset("tiny/voc", length=SCENES, vocabulary=words)).miou[0]


def with_one_prompt(model: pc.ProxyCLIP, data: Dataset) -> float:
    clip = copy.deepcopy(model.clip)
    clip.templates = ("a photo of a {}".format,)
    clip.forget_queries()
    return pc.evaluate(replace(model, clip=clip), data).miou[0]


def without_overlap(model: pc.ProxyCLIP, data: Dataset) -> float:
    apart = pc.dataset("tiny/voc", length=SCENES)
    apart.protocol = replace(apart.protocol, stride=apart.protocol.window)
    return pc.evaluate(model, apart).miou[0]


def with_every_image_on_its_own(model: pc.ProxyCLIP, data: Dataset) -> float:
    values = []
    for sample in data:
        found = model.segment(sample.image, data.vocabulary, prob_threshold=data.protocol.prob_threshold).labels
        confusion = Confusion(len(data.vocabulary))
        confusion.update(found, sample.labels)
        values.append(confusion.compute().miou)
    return float(np.mean(values))


def with_keys(model: pc.ProxyCLIP, data: Dataset) -> float:
    """The last attention of SAM's encoder by hand: keys are the second third of its projection."""
    vfm = copy.deepcopy(model.vfm)
    attention = vfm.backbone.blocks[-1].attn
    seen = []
    attention.register_forward_pre_hook(lambda module, given: seen.append(given[0]))

    def features(pixels):
        seen.clear()
        vfm.backbone.forward_features(pixels)
        weight, bias = attention.qkv.weight.chunk(3)[1], attention.qkv.bias.chunk(3)[1]
        return (seen[0] @ weight.T + bias).permute(0, 3, 1, 2)

    vfm.features = features
    return pc.evaluate(replace(model, vfm=vfm), data).miou[0]


def with_normalisation(part: str, wrong: Callable) -> Callable:
    """An evaluation in which a network is normalised by ``wrong(own, clip, vfm, pixels)``."""
    def score(model: pc.ProxyCLIP, data: Dataset) -> float:
        network = copy.deepcopy(getattr(model, part))
        own = network.normalize
        network.normalize = lambda pixels: wrong(own, model.clip, model.vfm, pixels)
        return pc.evaluate(replace(model, **{part: network}), data).miou[0]

    return score


def with_blue_first(model: pc.ProxyCLIP, data: Dataset) -> float:
    class Reversed(type(data)):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return replace(sample, image=Image.fromarray(np.asarray(sample.image)[..., ::-1].copy()))

    return pc.evaluate(model, Reversed("tiny/voc", length=SCENES)).miou[0]


def with_windows_upscaled_twice(model: pc.ProxyCLIP, data: Dataset) -> float:
    vfm = copy.deepcopy(model.vfm)
    features = vfm.features
    vfm.features = lambda pixels: features(nn.Upsample(scale_factor=2, mode="bilinear")(pixels))
    return pc.evaluate(replace(model, vfm=vfm), data).miou[0]


PLANTED = {
    "activation": with_other_activation, "background": with_one_word_for_background, "prompts": with_one_prompt,
    "stride": without_overlap, "per-image": with_every_image_on_its_own, "vfm-keys": with_keys,
    "bgr": with_blue_first, "vfm-upscaled": with_windows_upscaled_twice,
    "clip-as-vfm": with_normalisation("clip", lambda own, clip, vfm, pixels: vfm.normalize(pixels)),
    "clip-raw": with_normalisation("clip", lambda own, clip, vfm, pixels: pixels),
    "vfm-as-clip": with_normalisation("vfm", lambda own, clip, vfm, pixels: clip.normalize(pixels)),
    "vfm-twice": with_normalisation("vfm", lambda own, clip, vfm, pixels: own(own(pixels))),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_deviation_is_the_first_answer(name, diagnosis, model, data):
    observed = PLANTED[name](model, data)
    first = diagnosis.explain(observed)[0]
    assert first.settings == (name,)
    assert first.distance < 1e-6


def test_two_deviations_are_named_as_a_pair_where_neither_explains_the_number_alone():
    areas = np.full((40, 3, 1), 100) + np.random.default_rng(0).integers(0, 3, (40, 1, 1))
    found = []
    for setting, hits in ((SETTINGS[0], 80), (SETTINGS[5], 60), (SETTINGS[8], 97)):
        changed = areas.copy()
        changed[:, 0] = changed[:, 0] * hits // 100  # IoU falls to about hits / (200 - hits)
        found.append(finding(setting, areas, changed, False))
    result = Diagnosis(None, "adaptive", "set", 40, True, areas, found, {}, 1.0)
    first, second, small = (one.cost for one in found)
    answers = [one.settings for one in result.explain(100 - first - second)]
    assert answers[0] == (SETTINGS[0].name, SETTINGS[5].name)
    assert [one.settings for one in result.explain(100 - small)] == [(SETTINGS[8].name,)]
    assert result.explain(-50.0) == []


def test_a_setting_that_does_not_apply_is_left_out_with_its_reason(diagnosis):
    assert diagnosis.left_out["antialiasing"] == "images keep their size"
    assert diagnosis.left_out["ignore-255"] == "labels have 8 bits"
    assert {*diagnosis.left_out, *diagnosis.frame().setting} == {setting.name for setting in SETTINGS}


# --------------------------------------------------------------------------------- settings of the benchmarks, on files


@pytest.fixture(scope="module")
def small() -> pc.ProxyCLIP:
    return small_model()


on_files = partial(opened, short_side=28)


def test_resizing_padding_and_positions_are_changed_where_they_apply(small, tmp_path):
    data = on_files("voc20", write_tree("voc20", tmp_path))  # 28 x 37: padded to 32 on the short side, resized from 44
    result = diagnose(small, data, settings=["antialiasing", "padding", "positions"])
    assert {"antialiasing", "padding"} <= {*result.frame().setting}
    assert {*result.frame().setting, *result.left_out} == {"antialiasing", "padding", "positions"}


def test_zeros_before_the_normalisation_are_black_to_the_vfm(small, tmp_path):
    data = on_files("voc20", write_tree("voc20", tmp_path))
    vfm = copy.deepcopy(small.vfm)
    black = vfm.normalize(torch.zeros(3, 1, 1))
    features = type(vfm).features

    def on_black(self, pixels):
        if self is not vfm:
            return features(self, pixels)
        inside = torch.zeros_like(pixels, dtype=torch.bool)
        inside[:, :, 2:30] = True  # 28 rows between two rows of zeros on both sides
        return features(self, torch.where(inside, pixels, black))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(vfm), "features", on_black)
        observed = pc.evaluate(replace(small, vfm=vfm), data).miou[0]
        result = diagnose(small, data, settings=["padding"])
    assert result.findings[0].miou == pytest.approx(observed, abs=1e-9)


@pytest.mark.parametrize("name", ["ade847", "pc459"])
def test_ignoring_255_on_16_bit_labels_is_the_published_variant(name, small, tmp_path):
    root = write_tree(name, tmp_path)
    result = diagnose(small, on_files(name, root), settings=["ignore-255"])
    assert result.findings == [] or result.findings[0].miou == pytest.approx(
        pc.evaluate(small, on_files(f"{name}@published", root)).miou[0])


def test_another_conversion_is_read_from_its_folder(small, tmp_path):
    root, other = write_tree("coco_object", tmp_path / "a"), write_tree("coco_object", tmp_path / "b", seed=5)
    folder = other / "annotations" / "val2017"
    result = diagnose(small, on_files("coco_object", root), settings=["conversion"], labels=folder)
    assert result.findings[0].setting.name == "conversion"
    assert "conversion" in diagnose(small, on_files("coco_object", root), settings=["conversion"]).left_out


def test_the_threshold_of_the_clip_baseline_is_one_of_the_settings(small, tmp_path):
    data = on_files("voc21", write_tree("voc21", tmp_path), prob_threshold=0.5, baseline_threshold=0.0)
    result = diagnose(small, data, settings=["clip-threshold"])
    observed = pc.evaluate(small, on_files("voc21", tmp_path, prob_threshold=0.0, baseline_threshold=0.0)).miou[0]
    assert result.findings[0].miou == pytest.approx(observed, rel=1e-12)


def test_rounding_to_half_is_close_to_half_precision_itself(model):
    pixels = model.clip.normalize(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    rounded, half = round_to_half(copy.deepcopy(model.clip)), copy.deepcopy(model.clip).half()
    own, ours, theirs = (clip.embed(given, [pc.MaskCLIP()])[0] for clip, given in (
        (model.clip, pixels), (rounded, pixels), (half, pixels.half())))
    assert 1e-4 < (theirs - own).abs().max() < 0.05
    assert (ours - own).abs().mean() == pytest.approx((theirs - own).abs().mean(), rel=0.5)


@pytest.mark.parametrize(("wrong", "sentence"), [
    ({"limit": 0}, "limit must be a positive number of images, got 0"),
    ({"settings": ["gelu"]}, "unknown setting 'gelu'; allowed are activation, "),
])
def test_options_that_are_not_allowed_are_refused(wrong, sentence, model, data):
    with pytest.raises(ValueError, match=sentence):
        diagnose(model, data, **wrong)


def test_the_command_prints_costs_and_names_the_setting_behind_a_number(model, data, diagnosis):
    stride = next(found for found in diagnosis.findings if found.setting.name == "stride")
    arguments = ["diagnose", "--vfm", "tiny_sam", "--limit", SCENES, "--setting", "stride", "--setting", "prompts",
                 "--observed", f"{stride.miou:.1f}"]
    printed = output_of(*arguments)
    assert "tiny/voc@1" in printed and "windows side by side" in printed and "within the error of" in printed
    content = json.loads(output_of(*arguments, "--json"))
    assert content["explanations"][0]["settings"] == ["stride"]


# --------------------------------------------------------------------------------------------------------- the numbers


def test_the_error_of_a_mean_over_images_is_their_deviation_over_the_root_of_their_number():
    rng = np.random.default_rng(1)
    hits = rng.integers(10, 90, 200)
    areas = np.stack([hits, np.full(200, 100), hits], axis=1)[:, :, None]  # one class, IoU = hits / 100
    expected = hits.std(ddof=1) / np.sqrt(200)
    assert resampled(areas, per_image=True).std(ddof=1) == pytest.approx(expected, rel=0.1)
