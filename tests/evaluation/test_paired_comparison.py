"""Comparisons against a bootstrap written with loops over drawn images, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import output_of
from miniature import SIZE, write_image, write_labels
from small_model import small_model

import proxyclip as pc
from proxyclip.evaluation.evaluator import run
from proxyclip.evaluation.paired_comparison import rows_of_result
from proxyclip.evaluation.result import Evaluation, counts_beside, read_counts
from proxyclip.evaluation.spread import ImageCounts


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return run(pc.load(vfm="tiny_sam"), pc.dataset("tiny/stuff", length=12), ["qq", "adaptive", "identity"])


@pytest.fixture(scope="module")
def saved(found: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found.save(tmp_path_factory.mktemp("results") / "a.json")
    return next(tmp_path_factory.getbasetemp().rglob("a.json"))


def loop_miou(tables: list[np.ndarray]) -> float:
    hits, truth, predicted = sum(tables)
    union = truth + predicted - hits
    return 100 * float(np.mean([h / u for h, u in zip(hits, union, strict=True) if u]))


def test_the_interval_is_that_of_a_bootstrap_over_the_same_images_for_both(found):
    (comparison, _) = pc.compare(found, resamples=300, seed=3)
    first, second, _ = (row.table for row in rows_of_result(found))
    drawn = np.random.Generator(np.random.PCG64(3)).multinomial(12, [1 / 12] * 12, 300)
    differences = []
    for times in drawn:
        images = [image for image, many in enumerate(times) for _ in range(many)]
        differences.append(loop_miou([second[i] for i in images]) - loop_miou([first[i] for i in images]))
    assert comparison.interval == pytest.approx(np.percentile(differences, (2.5, 97.5)), abs=1e-9)
    assert comparison.error == pytest.approx(np.std(differences, ddof=1), abs=1e-9)
    below = sum(value <= 0 for value in differences)
    assert comparison.p == pytest.approx(min(1, 2 * (min(below, 300 - below) + 1) / 301))
    scores = found.frame()["miou"]
    assert comparison.difference == pytest.approx(scores[1] - scores[0], abs=1e-9)


def test_a_result_compared_with_itself_gives_exactly_zero(saved):
    for comparison in pc.compare(saved, saved):
        assert (comparison.difference, comparison.error, comparison.interval, comparison.p) == (0, 0, (0, 0), 1)
        assert not len(comparison.moved()) and not len(comparison.moved("per_image"))


def test_images_without_a_counted_pixel_change_no_comparison_and_alone_give_none(tmp_path):
    sets = {}
    for name, void in (("both", 2), ("none", 4)):
        for number in range(4):
            write_image(tmp_path / name / f"images/{number}.png", np.random.default_rng(number))
            labels = np.full(SIZE, 255) if number < void else np.arange(SIZE[1]) // 10 % 2 + np.zeros((SIZE[0], 1))
            write_labels(tmp_path / name / f"labels/{number}.png", labels)
        sets[name] = pc.folder_dataset(tmp_path / name / "images", tmp_path / name / "labels", ["cat", "dog"])
    whole, nothing = (run(small_model(), data, ["qq", "adaptive"]) for data in sets.values())
    (comparison,) = pc.compare(whole)
    assert whole.images == 4 and comparison.images == 2 and np.isfinite([*comparison.interval, comparison.error]).all()
    assert np.isfinite(list(whole.standard_errors().values())).all()
    with pytest.raises(ValueError, match="share 0 images; a comparison needs two"):
        pc.compare(nothing)


def test_files_rules_and_evaluations_are_compared_alike(found, saved):
    (by_file,) = pc.compare(f"{saved}::qq", f"{saved}::adaptive")
    (by_tuple,) = pc.compare((found, "qq"), (found, "adaptive:1.2,3"))
    assert by_file.row() == by_tuple.row() == pc.compare(saved, resamples=2000, seed=0)[0].row()
    assert by_file.classes.equals(by_tuple.classes)


def test_classes_and_images_that_moved_most_are_listed_in_both_directions(found):
    (comparison, _) = pc.compare(found)
    iou = found.per_class().pivot(index="class", columns="rule", values="iou")
    gains = (iou["adaptive:1.2,3"] - iou["qq"]).dropna().sort_values()
    listed = comparison.moved(count=3).set_index("class")["difference"]
    assert listed.iloc[0] == pytest.approx(gains.iloc[-1]) and listed.iloc[-1] == pytest.approx(gains.iloc[0])
    assert len(comparison.per_image) == 12


@pytest.mark.parametrize(("given", "sentence"), [
    (lambda e: [e, replace(e, classes=["another", *e.classes[1:]])], "class lists differ: number 0 is .* and another"),
    (lambda e: [e, replace(e, ids=[f"x{name}" for name in e.ids])], "share 0 images; a comparison needs two"),
    (lambda e: [e, replace(e, ids=e.ids[::-1])], "scored against other labels: .* differ, and those of 11 more"),
    (lambda e: [e, replace(e, rows=["a", "b", "c"])], "no rule in common; name one of each"),
    (lambda e: [(e, "qq")], "has one rule only; give another result"),
    (lambda e: [], "give at least one result"),
])
def test_what_cannot_be_compared_is_refused(given, sentence, found):
    with pytest.raises(ValueError, match=sentence):
        pc.compare(*given(found))
    with pytest.raises(ValueError, match="resamples must be positive, got 0"):
        pc.compare(found, resamples=0)


def test_other_cards_other_sets_and_missing_images_are_said(found):
    card = {"name": "tiny/stuff@1, changed: stride", "sha256": "0"}
    images = ImageCounts({index: counts for index, counts in found.tally.images.counts.items() if index < 10})
    settings = {**found.settings, "card": card, "dataset": {"name": "mine"}}
    other = replace(found, settings=settings, tally=replace(found.tally, images=images))
    comparison = pc.compare(found, other, resamples=1)[0]
    assert comparison.images == 10 and comparison.difference == 0 and np.isnan(comparison.error)
    assert comparison.notes == (
        "they were evaluated under different protocols: tiny/stuff@1 and tiny/stuff@1, changed: stride",
        "their sets are tiny/stuff and mine", "2 images of qq are left out, which the other does not have")


def test_counts_of_another_result_and_edited_results_are_refused(found, saved, tmp_path):
    copy = tmp_path / "b.json"
    copy.write_text(saved.read_text().replace('"miou": ', '"miou": 1'))
    counts_beside(copy).write_bytes(counts_beside(saved).read_bytes())
    with pytest.raises(ValueError, match="b.json is not a result of an evaluation: .*changed after it was written"):
        pc.compare(saved, copy)
    copy.write_text(saved.read_text())
    counts_beside(copy).write_bytes(counts_beside(saved).read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"b.counts.npz does not hold the counts of"):
        pc.compare(saved, copy)
    replace(found, ids=found.ids[:5]).save(copy)
    with pytest.raises(ValueError, match=r"b.counts.npz does not hold counts: it counts images beyond the 5"):
        pc.compare(saved, copy)


def test_counts_take_at_most_two_kilobytes_an_image_for_150_classes(tmp_path):
    rng, images = np.random.default_rng(0), ImageCounts()
    for index in range(200):  # 12 annotated classes and 30 predicted ones, as on photographs
        areas = np.zeros((1, 3, 150), np.int64)
        truth, predicted = rng.choice(150, 12, replace=False), rng.choice(150, 30, replace=False)
        areas[0, 1, truth], areas[0, 2, predicted] = rng.integers(1, 9e4, 12), rng.integers(1, 9e4, 30)
        areas[0, 0, np.intersect1d(truth, predicted)] = 77
        images.add(index, areas)
    found = run(small_model(), pc.dataset("tiny/voc", length=1), ["qq"])
    found = replace(found, classes=[str(k) for k in range(150)], ids=[f"ADE_val_{k:08}" for k in range(200)],
                    tally=replace(found.tally, images=images))
    content = found._image_counts()
    print(f"{len(content) / 200:.0f} bytes an image")
    assert len(content) <= 2048 * 200


def test_the_command_prints_and_writes_the_comparison(saved, tmp_path):
    said = output_of("compare", saved, "--markdown", "--json", tmp_path / "c.json", "--csv", tmp_path / "c.csv")
    assert "| class | first | second | difference |" in said and "**adaptive:1.2,3 - qq: " in said
    written = json.loads((tmp_path / "c.json").read_text())
    assert [entry["second"] for entry in written] == ["adaptive:1.2,3", "identity"]
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 3
    assert read_counts(saved)[0].ids[0] in output_of("compare", f"{saved}::qq", f"{saved}::adaptive")
