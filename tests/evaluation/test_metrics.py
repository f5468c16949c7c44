"""Confusion matrices against counting pixel by pixel."""

import math

import numpy as np
import pytest

from proxyclip.evaluation.metrics import Confusion, pairs_of
from proxyclip.evaluation.progress import ImageTally, Skipped, Tally

pytestmark = pytest.mark.filterwarnings("error")  # a class that does not occur warns nobody of a division by zero
K = 5


def _maps(seed: int, size: tuple[int, int] = (13, 17)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    # Class 4 is in neither, class 3 in the prediction only.
    return rng.integers(0, 4, size), rng.choice([-1, 0, 1, 2], size)


def _counted(seed: int) -> Confusion:
    confusion = Confusion(K)
    confusion.update(*_maps(seed))
    return confusion


def test_scores_are_those_of_sets_of_pixels():
    confusion, pixels = Confusion(K), []
    for seed in range(3):
        prediction, target = _maps(seed)
        confusion.update(prediction, target)
        pixels += [pair for pair in zip(prediction.flat, target.flat, strict=True) if pair[1] >= 0]
    ious, accs = [], []
    for k in range(K):
        both = sum(p == k and t == k for p, t in pixels)
        either = sum(p == k or t == k for p, t in pixels)
        truth = sum(t == k for _, t in pixels)
        ious += [both / either] if either else []
        accs += [both / truth] if truth else []
    scores = confusion.compute()
    assert len(ious) == 4 and len(accs) == 3
    assert scores.miou == pytest.approx(100 * math.fsum(ious) / 4, rel=1e-14)
    assert scores.macc == pytest.approx(100 * math.fsum(accs) / 3, rel=1e-14)
    assert scores.aacc == 100 * sum(p == t for p, t in pixels) / len(pixels)
    assert np.isnan(scores.iou[4]) and scores.iou[3] == 0 and np.isnan(scores.acc[3])


def test_nothing_counted_has_no_score():
    confusion = Confusion(K)
    confusion.update(np.zeros((2, 2), int), np.full((2, 2), -1))
    assert math.isnan(confusion.compute().miou) and math.isnan(confusion.compute().aacc)


@pytest.mark.parametrize(("prediction", "target", "sentence"), [
    ([[0, 1]], [[0], [1]], "differ in size"),
    ([[0, 5]], [[0, 0]], "prediction holds 0 to 5; class ids are 0 to 4"),
    ([[0, 0]], [[0, 7]], "ground truth holds 0 to 7"),
    ([[-2, 0]], [[0, 0]], "prediction holds -2 to 0"),
    ([[0, 0]], [[0, -2]], "ground truth holds -2 to 0"),
])
def test_what_is_no_class_is_refused(prediction, target, sentence):
    with pytest.raises(ValueError, match=sentence):
        Confusion(K).update(np.array(prediction), np.array(target))


def test_a_tally_survives_its_file_with_the_counts_of_every_image():
    tally, other = Tally.empty(2, K), Tally.empty(2, K)
    for index, part in ((5, tally), (2, other), (9, tally)):
        part.add(ImageTally(index, [pairs_of(*_maps(seed), K, K) for seed in (index, index + 1)]))
    tally.add(ImageTally(3, skipped=Skipped("b", "b.png", "not a readable label map")))
    tally.merge(other)
    again = Tally.from_bytes(tally.to_bytes(), 2, K)
    assert all((a.counts == b.counts).all() for a, b in zip(tally.confusions, again.confusions, strict=True))
    assert (again.done, again.skipped) == ({2, 3, 5, 9}, tally.skipped) and sorted(again.images.counts) == [2, 5, 9]
    table = again.images.table(2, K)
    assert (table == tally.images.table(2, K)).all() and (table[1, 0] == _counted(5).areas()).all()
    assert Tally.from_bytes(Tally.empty(2, K).to_bytes(), 2, K).images.counts == {}


@pytest.mark.parametrize("void", [False, True])
def test_the_areas_of_an_image_are_those_of_its_confusion(void):
    rng = np.random.default_rng(0)
    prediction, target = rng.integers(0, K, (9, 9)), rng.integers(-1, K + void, (9, 9))
    confusion = Confusion(K, void=void)
    confusion.update(prediction, target)
    assert np.array_equal(pairs_of(prediction, target, K, K + void).areas(K), confusion.areas())


def test_a_sample_cannot_be_counted_twice():
    tally = Tally([_counted(0)], {0, 1})
    with pytest.raises(ValueError, match="1 samples are counted twice, the first is number 1"):
        tally.merge(Tally([_counted(1)], {1, 2}))
    with pytest.raises(ValueError, match="sample number 1 is counted twice"):
        tally.add(ImageTally(1))
