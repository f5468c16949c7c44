"""Small objects: what counts as one and when it is found."""

import numpy as np

from proxyclip.evaluation.metrics import small_objects


def test_a_small_object_is_found_when_more_than_half_of_it_is_labelled():
    target = np.zeros((50, 50), dtype=int)  # small: 2.5 to 25 pixels
    target[5:8, 5:9] = 1  # 12 pixels
    target[20:23, 20:24] = 1  # 12 pixels
    target[40:42, 40] = 1  # 2 pixels: too small to count
    target[45, 10:13] = 1  # 3 pixels, the last region
    target[30:43, 2:4] = 2  # 26 pixels: too large
    prediction = np.zeros_like(target)
    prediction[5:8, 5:9] = 1
    prediction[20:22, 20:23] = 1  # exactly half
    assert small_objects(prediction, target) == (1, 3)
    prediction[22, 20] = 1
    assert small_objects(prediction, target) == (2, 3)


def test_touching_corners_are_one_object_and_ignored_pixels_none():
    target = np.zeros((40, 40), dtype=int)  # small: 1.6 to 16 pixels
    target[10:12, 10:12] = target[12:14, 12:14] = 1
    target[20:23, 20:23] = -1
    assert small_objects(target, target) == (1, 1)


def test_small_regions_of_the_background_are_no_objects():
    target = np.ones((40, 40), dtype=int)  # small: 1.6 to 16 pixels
    target[10:13, 10:13] = 0
    target[20:23, 20:23] = 2
    assert small_objects(np.ones_like(target), target, no_objects=[0]) == (0, 1)
