"""Evaluation on miniature benchmarks: the figures, the single pass, and imperfect data."""

import json
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import output_of
from miniature import SIZE, write_labels, write_tree
from skimage.metrics import contingency_table
from small_model import opened, small_model

import proxyclip as pc
from proxyclip.data.base import Protocol
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.protocol_card import card_of
from proxyclip.data.samples import SampleError
from proxyclip.evaluation.evaluator import run, under_protocol
from proxyclip.evaluation.workers import Workers
from proxyclip.system.finite import check_finite

RULES = ["adaptive", "identity", "adaptive:1,8", "qq", "hard:0.4", "vanilla"]


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return small_model()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_evaluated(name, model, tmp_path):
    frame = pc.evaluate(model, opened(name, write_tree(name, tmp_path)), rules=[pc.Adaptive()])
    assert list(frame.columns) == ["rule", "miou", "macc", "aacc", "images"]
    assert frame.images.tolist() == [3] and 0 <= frame.miou[0] <= 100 and 0 < frame.aacc[0] < 100


def test_figures_of_many_rules_in_one_pass_are_those_of_another_library_on_the_labels_of_each_alone(model, tmp_path):
    data = opened("voc21", write_tree("voc21", tmp_path), prob_threshold=0.06, baseline_threshold=0.05)
    result = run(model, data, RULES)
    for rule, confusion in zip(RULES, result.tally.confusions, strict=True):
        truth, predicted = [], []
        adapted = under_protocol(model, data)
        for sample in data:
            threshold = 0.05 if rule == "vanilla" else 0.06
            labels = adapted.segment(sample.image, data.vocabulary, pc.parse_rule(rule), threshold).labels
            truth.append(sample.labels[sample.labels >= 0])
            predicted.append(labels[sample.labels >= 0])
        counts = np.zeros((21, 21), int)
        table = contingency_table(np.concatenate(truth), np.concatenate(predicted)).toarray()
        counts[: table.shape[0], : table.shape[1]] = table
        assert (confusion.counts == counts).all()
        hits, either = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
        row = result.frame().set_index("rule").loc[pc.parse_rule(rule).name]
        assert row.miou == pytest.approx(100 * (hits / either)[either > 0].mean(), rel=1e-13)


def test_the_backbones_run_once_for_all_rules(model, tmp_path, monkeypatch):
    data = opened("voc20", write_tree("voc20", tmp_path))
    seen = []
    features, trunk = type(model.vfm).features, type(model.clip).trunk
    monkeypatch.setattr(type(model.vfm), "features", lambda s, x: seen.append("vfm") or features(s, x))
    monkeypatch.setattr(type(model.clip), "trunk", lambda s, x, *a: seen.append("clip") or trunk(s, x, *a))
    assert len(pc.evaluate(model, data, ["adaptive", "adaptive:1.2,3", pc.Adaptive()])) == 1  # one rule, three times
    once = sorted(seen)
    seen.clear()
    pc.evaluate(model, data, [pc.Adaptive(beta, 3.0) for beta in np.linspace(0.5, 1.5, 25).tolist()])
    assert sorted(seen) == once


def test_limit_takes_the_first_images_each_of_which_is_a_sign_of_life(model, tmp_path, monkeypatch):
    data, signs = opened("voc20", write_tree("voc20", tmp_path)), []
    monkeypatch.setattr(Workers, "beat", lambda workers: signs.append(workers))
    assert pc.evaluate(model, data, limit=2).images.tolist() == [2] == [len(signs)]
    assert pc.evaluate(model, data, limit=9).images.tolist() == [3]
    assert [sample.id for sample in data.first(2)] == ["a_0001", "a_0002"] and data.first(9) is data.first(None) is data
    assert data.first(2).signature() != data.first(1).signature() != data.signature()
    with pytest.raises(IndexError, match="the first 2 samples of voc20 have no number 2"):
        data.first(2)[2]


@pytest.mark.parametrize(("options", "sentence"), [
    ({"limit": 0}, "limit must be a positive number of images, got 0"),
    ({"on_error": "ignore"}, 'on_error must be "stop" or "skip", got \'ignore\''),
    ({"rules": ["adaptive:-1,3"]}, "beta must be a positive number"),
])
def test_options_that_are_not_allowed_are_refused(options, sentence, model, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        pc.evaluate(model, opened("voc20", write_tree("voc20", tmp_path)), **options)


def test_the_window_of_a_set_also_resizes_what_a_crop_wide_model_sees(tmp_path):
    model = small_model()
    model.vfm.spec = replace(model.vfm.spec, input_size="crop")
    model.vfm.input_size = 64
    data = opened("voc20", write_tree("voc20", tmp_path))
    adapted = under_protocol(model, data)
    assert (adapted.vfm.input_size, adapted.window, adapted.short_side) == (32, 32, 32)
    assert adapted.vfm.backbone is model.vfm.backbone
    assert model.vfm.input_size == 64 and model.short_side is None


# --------------------------------------------------------------------------------------------- imperfect data


def test_bad_samples_stop_the_evaluation_or_are_left_out_and_listed(model, tmp_path):
    root = write_tree("voc20", tmp_path)
    write_labels(root / "SegmentationClass" / "a_0001.png", np.full(SIZE, 99))
    write_labels(root / "SegmentationClass" / "b_0003.png", np.zeros((10, 10), int))
    data = opened("voc20", root)
    with pytest.raises(SampleError, match="a_0001.png: label 99 at row 0, column 0"):
        pc.evaluate(model, data)
    frame = pc.evaluate(model, data, on_error="skip")
    assert frame.images.tolist() == [1]
    assert [entry["id"] for entry in frame.attrs["skipped"]] == ["a_0001", "b_0003"]
    assert ("label 99" in frame.attrs["skipped"][0]["reason"] and "10 x 10" in frame.attrs["skipped"][1]["reason"])
    (data.root / "ImageSets/Segmentation/val.txt").write_text("a_0002\n")
    pd.testing.assert_frame_equal(frame, pc.evaluate(model, opened("voc20", data.root)))


def test_a_missing_file_stops_before_anything_is_computed_or_is_left_out(model, tmp_path, monkeypatch):
    data = opened("voc20", write_tree("voc20", tmp_path))
    (data.root / "SegmentationClass/b_0003.png").unlink()
    assert [entry["id"] for entry in pc.evaluate(model, data, on_error="skip").attrs["skipped"]] == ["b_0003"]
    with pytest.raises(SampleError, match="b_0003.png: missing"):
        data[2]
    monkeypatch.setattr(pc.ProxyCLIP, "embed", lambda *_: pytest.fail("an image was embedded"))
    with pytest.raises(SampleError, match="b_0003.png: missing, though JPEGImages has its image"):
        pc.evaluate(model, data)


# ---------------------------------------------------------------------------------------- generated sets, CLI


TINY = ["--dataset", "tiny/voc20", "--vfm", "tiny_dino", "--clip-weights", "random", "--vfm-weights", "random"]


def test_the_command_writes_scores_per_rule_and_class_and_measures_again_what_was_edited(tmp_path):
    output = tmp_path / "run.json"
    arguments = ["evaluate", *TINY, "--rule", "adaptive", "--rule", "qq", "--limit", 1, "--output", output]
    assert "adaptive:1.2,3" in output_of(*arguments)
    record = json.loads(output.read_text())
    assert [row["rule"] for row in record["scores"]] == ["adaptive:1.2,3", "qq"]
    assert len(record["per_class"]) == 2 * len(pc.dataset("tiny/voc20").vocabulary)
    assert record["settings"]["clip"]["weights"] and record["skipped"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.counts.npz", "run.json"]
    assert "done already, with the same settings" in output_of(*arguments)
    output.write_text(json.dumps(record | {"scores": [row | {"miou": 99.9} for row in record["scores"]]}))
    assert "done already" not in output_of(*arguments), "the file was edited"
    assert json.loads(output.read_text())["scores"] == record["scores"]


def test_a_grid_lists_its_jobs_and_runs_one_by_index(tmp_path):
    arguments = ["evaluate", *TINY, "--vfm", "tiny_mae", "--dataset", "tiny/voc", "--output", tmp_path]
    listed = output_of(*arguments, "--grid").splitlines()
    assert [line.split("\t")[:3] for line in listed] == [
        ["0", "tiny_dino", "tiny/voc20"], ["1", "tiny_dino", "tiny/voc"],
        ["2", "tiny_mae", "tiny/voc20"], ["3", "tiny_mae", "tiny/voc"],
    ]
    output_of(*arguments, "--limit", 1, "--job", 2)
    assert [path.name for path in tmp_path.glob("*.json")] == ["tiny_mae-tiny_voc20.json"]
    listed = output_of(*arguments, "--grid").splitlines()
    assert [line.split("\t")[4] for line in listed] == ["waiting", "waiting", "done", "waiting"]
    with pytest.raises(ValueError, match="job must be 0 to 3, got 4"):
        output_of(*arguments, "--job", 4)
    with pytest.raises(ValueError, match="is one file for 4 jobs; give a folder as output"):
        output_of(*arguments[:-1], tmp_path / "a.json")


# ------------------------------------------------------------------------------------ what a number depends on


@pytest.mark.parametrize("change", [
    {"short_side": 24}, {"short_side": None}, {"window": 24}, {"stride": 8}, {"prob_threshold": 0.99},
    {"baseline_threshold": 0.99}, {"long_side": 40},
])
def test_every_field_of_a_protocol_moves_labels_or_windows(change, model, tmp_path):
    assert {name for name in change} <= {field.name for field in fields(Protocol)}
    data = opened("voc21", write_tree("voc21", tmp_path))
    changed = opened("voc21", data.root, **change)
    before, after = (run(model, one, ["adaptive", "vanilla"]).tally for one in (data, changed))
    counts = [np.stack([confusion.counts for confusion in tally.confusions]) for tally in (before, after)]
    assert not np.array_equal(*counts) or not before.geometry.compute().equals(after.geometry.compute())
    assert card_of(data).sha256 != card_of(changed).sha256


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("network", "sentence"), [
    ("vfm", r"small \(vfm\.pth\) gives \d+ features that are NaN or infinite in float32; its weights hold such"),
    ("clip", r"small \(clip\.pt\) gives \d+ embeddings that are NaN or infinite in float32"),
    ("text", r"small \(clip\.pt\) gives \d+ text embeddings that are NaN or infinite in float32"),
])
def test_a_value_that_is_not_finite_stops_with_the_model_and_its_file(network, sentence, value, tmp_path):
    model = small_model()
    model.vfm.source, model.clip.source = "vfm.pth", "clip.pt"
    broken = {"vfm": model.vfm.backbone.norm.weight, "clip": model.clip.model.visual.proj,
              "text": model.clip.model.text_projection}[network]
    broken.data.view(-1)[0] = value
    with pytest.raises(ValueError, match=sentence):
        pc.evaluate(model, opened("voc20", write_tree("voc20", tmp_path)))


def test_half_precision_that_overflows_is_named():
    network = SimpleNamespace(name="sam_vit_b", source="sam.pth", parameters=lambda: iter([torch.zeros(1).half()]))
    values = torch.full((1, 2, 2, 2), 60000.0).half()
    check_finite([values], network, "features")  # their sum overflows in float16, they do not
    with pytest.raises(ValueError, match=r"gives 8 features .* in float16; float16 overflows above 65504"):
        check_finite([values * 2], network, "features")
