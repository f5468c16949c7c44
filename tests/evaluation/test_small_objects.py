"""Small objects: what counts as one and when it is found."""

import numpy as np

from proxyclip.evaluation.metrics import small_objects


def test_a_small_object_is_found_when_more_than_half_of_it_is_labelled():
    target = np.zeros((50, 40), dtype=int)  # small: 2 to 20 pixels
    target[5:8, 5:9] = 1  # 12 pixels
    target[20:23, 20:24] = 1  # 12 pixels
    target[40, 30] = 1  # too small to count
    target[45:47, 10] = 1  # 2 pixels, the last region
    target[30:37, 2:5] = 2  # 21 pixels: too large
    target[30:34, 12:17] = 3  # 20 pixels
    prediction = np.zeros_like(target)
    prediction[5:8, 5:9] = 1
    prediction[20:22, 20:23] = 1  # exactly half
    assert small_objects(prediction, target) == (1, 4)
    prediction[22, 20] = 1
    assert small_objects(prediction, target) == (2, 4)


def test_touching_corners_are_one_object_and_ignored_pixels_none():
    target = np.zeros((40, 40), dtype=int)  # small: 1.6 to 16 pixels
    target[10:12, 10:12] = target[12:14, 12:14] = 1
    target[20:23, 20:23] = -1
    assert small_objects(target, target) == (1, 1)


def test_small_regions_of_the_background_are_no_objects_nor_is_what_lies_around_a_region():
    target = np.ones((40, 40), dtype=int)  # small: 1.6 to 16 pixels
    target[10:13, 10:13] = 0
    target[20:22, 20:23] = 2
    prediction = np.ones_like(target)
    assert small_objects(prediction, target) == (0, 2)
    assert small_objects(prediction, target, no_objects=[0]) == (0, 1)
