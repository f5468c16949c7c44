"""Windows, padding and stitching against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from reference import resize_linear

from proxyclip.inference.windows import (
    Box,
    Padding,
    Placement,
    cut_windows,
    prepare_image,
    stitch_rows,
    window_boxes,
    window_padding,
    working_size,
)

quick = settings(max_examples=100, deadline=None, derandomize=True)
lengths = st.integers(1, 90)


def stitched(maps: torch.Tensor, boxes: list[Box], padding: Padding, size: tuple[int, int]) -> torch.Tensor:
    (whole,) = stitch_rows(maps, Placement(boxes, padding, size, size), size[0])
    return whole.transpose(0, 1)


@quick
@given(lengths, lengths, st.integers(1, 40), st.data())
def test_windows_cover_every_pixel_have_one_size_and_end_at_the_border(height, width, crop, data):
    stride = data.draw(st.integers(1, crop))
    boxes = window_boxes(height, width, crop, stride)
    covered = torch.zeros(height, width)
    for box in boxes:
        assert box.bottom - box.top == min(crop, height) and box.right - box.left == min(crop, width)
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert covered.min() >= 1
    assert boxes[-1].bottom == height and boxes[-1].right == width
    assert len(set(boxes)) == len(boxes)


def test_the_protocols_windows_on_a_landscape_image():
    boxes = window_boxes(336, 500, 336, 112)
    assert [box.left for box in boxes] == [0, 112, 164]
    assert {box.top for box in boxes} == {0}


def test_a_small_window_is_padded_to_a_multiple_on_both_sides_and_a_full_one_is_not():
    assert window_padding(300, 336, 56, 336) == Padding(left=0, right=0, top=18, bottom=18)
    assert window_padding(1, 1, 56, 336) == Padding(27, 28, 27, 28)
    assert window_padding(336, 336, 56, 336) == Padding(0, 0, 0, 0)


def test_the_working_size_keeps_the_aspect_and_limits_the_long_side():
    assert working_size(375, 500, 336) == (336, 448)
    assert working_size(1024, 2048, 448) == (448, 896)
    assert working_size(100, 1000, 336) == (205, 2048)
    assert working_size(5, 7, None) == (5, 7)


@quick
@given(lengths, lengths, st.integers(4, 40), st.data())
def test_cutting_and_stitching_gives_the_image_back(height, width, crop, data):
    stride = data.draw(st.integers(1, crop))
    image = torch.rand(3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height * width))
    boxes = window_boxes(height, width, crop, stride)
    padding = window_padding(min(crop, height), min(crop, width), 8, crop)
    windows = cut_windows(image, boxes, padding)
    assert (stitched(windows, boxes, padding, (height, width)) - image).abs().max() < 1e-12


def test_overlapping_windows_are_averaged():
    boxes = window_boxes(2, 3, 2, 1)
    maps = torch.stack([torch.full((1, 1, 1), 1.0), torch.full((1, 1, 1), 3.0)])
    assert stitched(maps, boxes, Padding(0, 0, 0, 0), (2, 3)).tolist() == [[[1.0, 2.0, 3.0]] * 2]


@pytest.mark.parametrize("antialias", [False, True])
def test_an_image_shrinks_bilinearly_and_smoothed_as_pillow_does_only_when_asked(antialias):
    image = torch.randint(0, 256, (40, 70, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    found = prepare_image(image, 16, 8, 16, 8, **({"antialias": True} if antialias else {})).pixels * 255
    smoothed = Image.fromarray(image.numpy()).resize((28, 16), Image.Resampling.BILINEAR)
    expected = torch.tensor(np.array(smoothed)) if antialias else resize_linear(image.double(), (16, 28))
    assert found.shape == (3, 16, 28)
    assert (found - expected.permute(2, 0, 1)).abs().max() <= (1 if antialias else 0.501)  # rounded back to bytes
    other = prepare_image(image, 16, 8, 16, 8, antialias=not antialias).pixels * 255
    assert (other - expected.permute(2, 0, 1)).abs().max() > 20
