"""Predictions out and in again: saved and scored equals direct, bit for bit."""

import json

import numpy as np
import pytest
from command_line import output_of
from miniature import write_tree
from PIL import Image
from small_model import opened, small_model

import proxyclip as pc
from proxyclip.data.samples import DataError
from proxyclip.evaluation.evaluator import run
from proxyclip.evaluation.predictions import folder_of_rule, score

RULES = ["adaptive", "sclip/attention", "qq"]


@pytest.fixture
def data(tmp_path):
    return opened("voc21", write_tree("voc21", tmp_path / "voc"))


def _folders(folder, names):
    return {name: folder / folder_of_rule(name) for name in names}


def test_saved_and_scored_again_equals_direct(data, tmp_path):
    direct = run(small_model(), data, RULES, refine=pc.PAMR(iterations=1), predictions=tmp_path / "p")
    again = score(_folders(tmp_path / "p", direct.rules), data)
    assert again.rules == direct.rules and len(direct.rules) == 6
    for first, second in zip(direct.tally.confusions, again.tally.confusions, strict=True):
        assert np.array_equal(first.counts, second.counts)
    assert [comparison.difference for comparison in pc.compare(direct, again)] == [0.0] * 6
    picture = Image.open(tmp_path / "p" / "qq" / "a_0001.png")
    assert picture.mode == "I;16" and np.asarray(picture).shape == data[0].labels.shape


def test_files_of_images_that_were_counted_before_are_written_too(data, tmp_path):
    whole = run(small_model(), data, ["qq"], predictions=tmp_path / "whole")
    run(small_model(), data, ["qq"], limit=2, progress=tmp_path / "progress")
    run(small_model(), data, ["qq"], progress=tmp_path / "progress")
    continued = run(small_model(), data, ["qq"], progress=tmp_path / "progress", predictions=tmp_path / "late")
    (tmp_path / "late" / "qq" / "a_0002.png").unlink()
    run(small_model(), data, ["qq"], progress=tmp_path / "progress", predictions=tmp_path / "late")
    assert np.array_equal(continued.tally.confusions[0].counts, whole.tally.confusions[0].counts)
    late = {path.name: path.read_bytes() for path in (tmp_path / "late" / "qq").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "whole" / "qq").iterdir()} == late
    run(small_model(seed=1), data, ["qq"], predictions=tmp_path / "late")  # another model's labels in between
    run(small_model(), data, ["qq"], progress=tmp_path / "progress", predictions=tmp_path / "late")
    assert {path.name: path.read_bytes() for path in (tmp_path / "late" / "qq").iterdir()} == late


@pytest.mark.parametrize(("write", "sentence"), [
    (lambda path, right: path.unlink(), "1 of 3 predictions are missing, the first is a_0002.png"),
    (lambda path, right: Image.fromarray(right[:-1]).save(path), r"a_0002.png: \d+ x \d+ pixels, but the labels of"),
    (lambda path, right: Image.fromarray(right + 30).save(path), r"a_0002.png: holds 30 to \d+; class ids are 0 to 20"),
    (lambda path, right: Image.new("RGB", right.shape[::-1]).save(path), "a_0002.png: mode RGB"),
    (lambda path, right: path.write_bytes(b""), "a_0002.png: "),
])
def test_predictions_that_cannot_be_scored_are_named(write, sentence, data, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for sample in data:
        Image.fromarray(np.maximum(sample.labels, 0).astype(np.uint8)).save(folder / f"{sample.id}.png")
    assert score({"mine": folder}, data).frame()["miou"].tolist() == [100.0]
    write(folder / "a_0002.png", np.maximum(data[1].labels, 0).astype(np.uint8))
    with pytest.raises(DataError, match=sentence):
        score({"mine": folder}, data)


def test_the_commands_save_score_compare_and_list(tmp_path):
    base = ["--dataset", "tiny/voc20", "--limit", 2]
    models = ["--vfm", "tiny_dino", "--clip-weights", "random", "--vfm-weights", "random", "--rule", "qq"]
    direct, again = tmp_path / "results" / "direct.json", tmp_path / "results" / "again.json"
    evaluate = ["evaluate", *base, *models, "--output", direct, "--save-predictions", tmp_path / "p"]
    output_of(*evaluate)
    next((tmp_path / "p" / "qq").iterdir()).unlink()
    assert "done already" not in output_of(*evaluate)
    assert "done already" in output_of(*evaluate)
    output_of("score", *base, "--predictions", tmp_path / "p" / "qq", "--output", again)
    first, second = (json.loads(path.read_text()) for path in (direct, again))
    assert first["per_class"] == second["per_class"]
    assert "+0.00 ± 0.00 mIoU" in output_of("compare", direct, again)
    (tmp_path / "results" / "broken.json").write_text('{"settings": 1, "scores": 2}')
    table = tmp_path / "all.csv"
    output_of("results", tmp_path / "results", "--csv", table)
    rows = table.read_text().splitlines()
    assert len(rows) == 3 and rows[0].startswith("dataset,card,method,clip,vfm,images,miou,error")
    output_of("results", tmp_path / "results", "--csv", table, "--append")
    assert table.read_text().splitlines() == rows
