"""What chapters measure besides mIoU: similarities, vocabulary growth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import regression
import torch
import user_machine

import proxyclip as pc
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.metrics import Confusion
from proxyclip.inference.windows import cut_windows
from proxyclip.supplement import paper
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.measures.combinations import (
    CAPTIONED,
    NEVER,
    SUPERVISED,
    TEXTURE,
    absent_classes,
    answered_textures,
    by_novelty,
    group_of,
)
from proxyclip.supplement.measures.growth import growth_order, vocabulary_growth
from proxyclip.supplement.measures.similarities import similarity_statistics
from proxyclip.supplement.result_files import load
from proxyclip.tiny.supervised import Supervised

RULES = [pc.MaskCLIP(), pc.Adaptive()]


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return pc.load("tiny")


# ------------------------------------------------------------------------------------------------------- similarities


def test_similarity_statistics_agree_with_all_cosines_written_out(model: pc.ProxyCLIP) -> None:
    data = pc.dataset("tiny/voc", length=1)
    betas = [0.9, 1.2, 3.0]
    found = similarity_statistics(model, data, betas)
    everything, kept, means = [], [], []
    own = under_protocol(model, data)
    with torch.inference_mode():
        _, pixels, boxes, padding = own.prepare_windows(data[0].image)
        for box in boxes:
            features = own.vfm.features(cut_windows(own.vfm.normalize(pixels), [box], padding))
            rows = features[0].flatten(1).T.double().numpy()
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            cosines = np.clip(rows @ rows.T, -1, 1)
            everything.append(cosines.ravel())
            means.append(cosines.mean())
            kept.append([(cosines >= beta * cosines.mean()).mean() for beta in betas])
    assert found.windows == len(boxes) and found.counts.sum() == sum(map(len, everything))
    assert found.median == pytest.approx(np.median(np.concatenate(everything)), abs=1.5e-3)
    assert found.mean == pytest.approx(np.mean(means), abs=1e-5)
    assert found.kept.to_numpy() == pytest.approx(np.mean(kept, axis=0), abs=1e-4)
    assert found.quantile_of(found.median) == pytest.approx(0.5, abs=1e-3)
    below = found.below().set_index("threshold")["masked"]
    assert below.iloc[0] == 0 and below.iloc[-1] == 100 and below.is_monotonic_increasing
    assert found.fingerprint()["50 %"] == pytest.approx(found.median)


# ---------------------------------------------------------------------------------------------------- vocabulary growth


@pytest.fixture(scope="module")
def growth(model: pc.ProxyCLIP) -> pd.DataFrame:
    return vocabulary_growth(model, pc.dataset("tiny/context", length=2), [16, 24, 32], RULES)


@pytest.mark.parametrize("size", [16, 32])
def test_a_part_of_the_vocabulary_scores_as_if_nothing_else_could_be_answered(
    size: int, model: pc.ProxyCLIP, growth: pd.DataFrame
) -> None:
    data = pc.dataset("tiny/context", length=2)
    first = list(growth_order(32, 0)[:size])
    names = [data.vocabulary.names[number] for number in first]
    confusion = Confusion(size)
    for sample in data:
        labels = under_protocol(model, data).segment(sample.image, names, pc.Adaptive()).labels
        wanted = np.full(sample.labels.shape, -1)
        for place, number in enumerate(first):
            wanted[sample.labels == number] = place
        confusion.update(labels, wanted)
    rows = growth.set_index(["rule", "classes"])["all"]
    assert rows[(pc.Adaptive().name, size)] == pytest.approx(confusion.compute().miou, abs=0.05)


def test_distractors_can_only_take_pixels_away(growth: pd.DataFrame) -> None:
    for _, part in growth.groupby("rule"):
        values = part.sort_values("classes")["first"].dropna().to_numpy()
        assert (np.diff(values) <= 1e-9).all()


def test_the_order_in_which_classes_are_added_depends_on_the_seed(model: pc.ProxyCLIP, growth: pd.DataFrame) -> None:
    orders = [tuple(growth_order(172, seed)) for seed in range(5)]
    assert len(set(orders)) == 5 and {tuple(sorted(order)) for order in orders} == {tuple(range(172))}
    again, other = (vocabulary_growth(model, pc.dataset("tiny/context", length=2), [16, 24, 32], RULES, seed=seed)
                    for seed in (0, 1))
    assert again.equals(growth)
    change = (other.set_index(["rule", "classes"]) - growth.set_index(["rule", "classes"]))["all"].abs()
    assert change.drop(32, level="classes").min() > 1 > 0.05 > change.xs(32, level="classes").max()


def test_a_vocabulary_larger_than_the_set_is_refused(model: pc.ProxyCLIP) -> None:
    with pytest.raises(ValueError, match="a vocabulary size must be between 2 and 32, got 33"):
        vocabulary_growth(model, pc.dataset("tiny/context", length=1), [4, 33], RULES)


# ----------------------------------------------------------------------------------------------------- the long tail


def test_the_long_tail_is_grouped_by_what_was_captioned() -> None:
    from proxyclip.tiny.world.sets import LONGTAIL

    groups = pd.Series([group_of(name) for name in LONGTAIL]).value_counts()
    assert groups[TEXTURE] == 12
    assert 20 < groups[NEVER] < groups[CAPTIONED]
    frame = pd.DataFrame({"rule": "qk", "class": ["sky", LONGTAIL[-1]], "iou": [50.0, 10.0], "pixels": [9, 0]})
    assert by_novelty(frame).to_dict("index") == {TEXTURE: {"qk": 50.0, "classes": 1}}


def test_what_is_answered_instead_of_a_combination_agrees_with_the_pixels_written_out(tmp_path: Path) -> None:
    run = Experiment("F", profile="tiny", limit=1, seeds=1, datasets=["tiny/longtail"], vfm="tiny_dino",
                     output_dir=tmp_path)
    data, model = run.sets["tiny/longtail"], run.model()
    (embedded,) = model.embed(data[0].image, [Supervised()])
    logits = embedded.logits(model.encode_classes(data.vocabulary).embeddings)
    labels, truth = logits.argmax(dim=0).numpy(), data[0].labels
    found = run.evaluate(None, data, [Supervised()])
    textures = [number for number, name in enumerate(data.vocabulary.names) if " " not in name]
    combined = (truth >= 0) & ~np.isin(truth, textures)
    assert answered_textures(found) == {"supervised": pytest.approx(100 * np.isin(labels[combined], textures).mean())}
    absent = set(np.unique(labels[truth >= 0])) - set(np.unique(truth))
    assert absent_classes(found) == {"supervised": len(absent)} and absent


def test_the_supervised_reference_is_read_from_its_own_clip_only(tmp_path: Path) -> None:
    """With it a run is that of the baseline; with another CLIP the rows are missing."""
    notebook = next(path for path in regression.NOTEBOOKS if path.stem.startswith("F_"))
    own = load(regression.BASELINES / f"{notebook.stem}.json")
    other = user_machine.run_notebook(notebook, limit=1, seeds=1, datasets=["tiny/longtail"], vfm="tiny_dino",
                                      sizes=[24], clip_weights="random", output_dir=tmp_path)
    rows = {(record.vfm, record.rule, record.method) for record in own.records if record.setting == paper.FULL}
    assert rows == {("", "", SUPERVISED)} and "tiny_supervised" in own.provenance["weights_sha256"]
    assert paper.FULL not in {record.setting for record in other.records}
