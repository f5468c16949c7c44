"""Protocol cards say what the package does, are frozen under their version, and travel with every result."""

import json
from dataclasses import fields, replace

import numpy as np
import open_clip
import pytest
from command_line import output_of
from miniature import SIZE, write_image, write_labels, write_tree
from small_model import opened, small_model

import proxyclip as pc
from proxyclip.data.benchmarks import BENCHMARKS, VARIANTS
from proxyclip.data.protocol_card import card_of, published_card
from proxyclip.data.samples import SampleError
from proxyclip.evaluation.evaluator import run
from proxyclip.loading import PROFILES
from proxyclip.rules.parsing import BASELINES

#: SHA-256 of the published cards. A card that has to change gets a new version, in its row of the benchmarks.
FROZEN = {
    "voc21@1": "0379f925f4d3ec28d4122926e68344eadc7f57622793cbd7660a785fe63081f2",
    "voc20@1": "4f599b54a7dc13d891eb2d191447b338cf8e07d21084fcc61203d2f044961f2c",
    "context60@1": "347946432b11c63839267085f41197f32e560bfc718fed135e71df217851e2e7",
    "context59@1": "64f959c240d8723acb0082fa39764316de4f668d3dcc04306ad5e1895fe38b2a",
    "coco_object@2": "139bca4981a10760b550204c15bfb37748b37c45b39baebc1d31708860a6f7b7",
    "coco_stuff@1": "f9cbe774659371c52bcd4f52b5df2738a6ac3a1f30e624e54e3c10217be5cc2d",
    "cityscapes@1": "9db92e82ed295aea5f2214f4c14b457bd61b776b472bfecd9b4a19782fb00e6c",
    "ade150@1": "9eb2bed4438d69b87c35bab33ba8af806192abd692b1e75adf95cd03b8340967",
    "ade847@2": "05e933180b53ccedd148a90ae5d1c88c0ec16b2bf747aafc6ac624124c85e743",
    "pc459@1": "6e2a8d9807bf6ba1332db5005d42b2449d7dbc8935cb8c708e6f50e4ab09340c",
    "ade847@published": "5dd9d3419cd0549897b36aa97ab557c62fbf6b4219c3bcf6a86adc0af9103f60",
    "pc459@published": "706afb456b009d324413fde97e4d3b07f4b64e4bd5b8058c84e1d2cbf01d9e7e",
}
NAMES = (*BENCHMARKS, *VARIANTS)


def test_no_card_has_changed_under_its_version():
    assert {card.name: card.sha256 for card in map(published_card, NAMES)} == FROZEN


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_set_on_disk_has_the_published_card_and_its_version_can_be_asked_for(name, tmp_path):
    root = write_tree(name, tmp_path)
    assert card_of(pc.dataset(name, root)) == published_card(name)
    title = BENCHMARKS[name].title
    assert card_of(pc.dataset(title, root)) == published_card(title) == published_card(name)


def test_a_changed_evaluation_says_so_in_the_name_of_its_card(tmp_path):
    data = pc.dataset("voc21", write_tree("voc21", tmp_path), vocabulary=["background", *map(str, range(20))])
    data.protocol = replace(data.protocol, stride=224)
    card = card_of(data)
    assert card.name == "voc21@1, changed: stride, queries, background, class list sha256"
    assert card.sha256 != published_card("voc21").sha256


def test_a_card_states_the_constants_of_the_code():
    card = published_card("voc21")
    assert f"multiple of {PROFILES['paper'].pad_multiple}" in card.padding
    assert f"{len(open_clip.OPENAI_IMAGENET_TEMPLATES)} for ImageNet" in card.prompts
    assert set(BASELINES) <= set(card.thresholds)
    assert card.background[:3] == ("sky", "wall", "tree") and card.classes == 21
    tiny = card_of(pc.dataset("tiny/voc", length=1))
    assert f"{len(pc.load().clip.templates)} prompts" in tiny.prompts and tiny.name == "tiny/voc@1"


@pytest.mark.parametrize(("rule", "method"), [
    ("vanilla", "vanilla"), ("vanilla/attention", "vanilla"), ("gem:7/attention", "gem"),
    ("adaptive:1.2,3", "adaptive"), ("qk/each/dot", "qk")])
def test_a_rule_gets_the_threshold_of_its_method_however_it_is_read(rule, method):
    assert pc.parse_rule(rule).name.startswith(method)
    for name, lower in (("voc21", 0.1), ("context60", 0.05), ("coco_object", 0.1)):
        protocol = BENCHMARKS[name].protocol
        expected = lower if method == "vanilla" else protocol.prob_threshold
        assert protocol.threshold(pc.parse_rule(rule)) == expected == published_card(name).thresholds[method]["value"]


def test_the_trailing_space_of_the_published_context60_changes_no_token():
    tokenizer = open_clip.get_tokenizer("ViT-B-16-quickgelu")
    for template in open_clip.OPENAI_IMAGENET_TEMPLATES:
        assert (tokenizer([template("wood ")]) == tokenizer([template("wood")])).all()
    assert "wood " in published_card("context60").remark


def test_the_command_prints_a_card_in_words_and_as_json():
    words = output_of("protocol", "voc21")
    assert "threshold, vanilla" in words and "sky; wall; tree" in words and FROZEN["voc21@1"] in words
    without = " ".join(output_of("protocol", "cityscapes").split())
    assert "threshold, vanilla none (no background class, so none)" in without and "remark –" in without
    content = json.loads(output_of("protocol", "voc21", "--json"))
    assert content["sha256"] == FROZEN["voc21@1"]
    assert {field.name for field in fields(published_card("voc21"))} < set(content)
    assert json.loads(output_of("protocol", "--json")) == FROZEN
    with pytest.raises(ValueError, match=r"no protocol card 'voc21@7'; there are voc21, .*pc459@published"):
        published_card("voc21@7")


def test_a_result_file_carries_name_and_hash_of_its_card(tmp_path):
    data = opened("voc20", write_tree("voc20", tmp_path))
    run(small_model(), data).save(tmp_path / "result.json")
    card = json.loads((tmp_path / "result.json").read_text())["card"]
    assert card == card_of(data).reference() and card["name"] == "voc20@1, changed: short side, crop, stride"


# ------------------------------------------------------------------------------ the published evaluation of 16-bit sets


def published_by_hand(truths, predictions, classes):
    """mIoU as published: 255 is ignored, 65535 is no class, so what is predicted there enlarges the unions."""
    ious = []
    for k in range(classes):
        hits = union = 0
        for truth, prediction in zip(truths, predictions, strict=True):
            for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
                if t != 255:
                    hits += t == p == k
                    union += t == k or p == k
        if union:
            ious.append(hits / union)
    return 100 * sum(ious) / len(ious)


@pytest.mark.parametrize("name", ["ade847", "pc459"])
def test_the_published_evaluation_counts_void_against_the_prediction_and_drops_class_255(name, tmp_path):
    root, rng = write_tree(name, tmp_path), np.random.default_rng(3)
    layout, model, scores = BENCHMARKS[name].layout, small_model(), {}
    data = pc.dataset(name, root)
    predictions = [replace(model, short_side=32).segment(sample.image, data.vocabulary).labels for sample in data]
    truths = [np.where(rng.random(SIZE) < 0.6, labels, rng.choice([255, 256, 65535], SIZE)) for labels in predictions]
    for index, truth in enumerate(truths):
        write_labels(root / layout.labels / f"{data.sample_id(index)}{layout.label_suffix}", truth)
    for variant in (name, f"{name}@published"):
        result = run(model, opened(variant, root), progress=tmp_path / "progress", save_every=0.0)
        scores[variant] = result.frame().miou[0]
    assert scores[f"{name}@published"] == pytest.approx(published_by_hand(truths, predictions, len(data.vocabulary)))
    assert scores[f"{name}@published"] != scores[name]


def test_an_image_of_a_published_set_still_needs_labels_that_exist(tmp_path):
    root, layout = write_tree("ade847", tmp_path), BENCHMARKS["ade847"].layout
    write_image(root / layout.images / f"a_0001{layout.image_suffix}", np.random.default_rng(0))
    write_labels(root / layout.labels / f"a_0001{layout.label_suffix}", np.full(SIZE, 900))
    with pytest.raises(SampleError, match="label 900 at row 0"):
        pc.dataset("ade847@published", root)[0]
