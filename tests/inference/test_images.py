"""Reading images: every kind that users may pass, and one sentence for everything else."""

import numpy as np
import pytest
from PIL import Image

from proxyclip import read_image

COLOUR = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def test_an_array_and_a_png_of_it_are_the_same_image(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    assert (read_image(tmp_path / "colour.png") == COLOUR).all()
    assert (read_image(str(tmp_path / "colour.png")) == read_image(COLOUR)).all()


def test_greyscale_is_repeated_over_the_channels(tmp_path):
    grey = COLOUR[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    for image in (grey, grey[..., None], tmp_path / "grey.png", Image.fromarray(grey)):
        assert (read_image(image) == grey[..., None]).all() and read_image(image).shape == (5, 4, 3)


def test_transparency_lies_over_white():
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, 1] = (10, 20, 30, 255)
    rgba[0, 2] = (0, 0, 0, 51)
    expected = [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]
    assert (read_image(rgba) == expected).all()
    assert (read_image(Image.fromarray(rgba)) == expected).all()


def test_a_palette_image_with_a_transparent_colour_is_read():
    image = Image.fromarray(COLOUR).quantize(8)
    image.info["transparency"] = 0
    assert read_image(image).shape == (5, 4, 3)


def test_sixteen_bits_become_eight(tmp_path):
    deep = np.array([[0, 257, 65535, 32896]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for image in (deep, tmp_path / "deep.png"):
        assert read_image(image)[0, :, 0].tolist() == [0, 1, 255, 128]


def test_an_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(COLOUR).save(tmp_path / "rotated.png", exif=exif)
    assert (read_image(tmp_path / "rotated.png") == np.rot90(COLOUR, -1)).all()


@pytest.mark.parametrize("array", [np.zeros((3, 4, 5), np.uint8), np.zeros((4, 4, 3), np.float32),
                                   np.zeros(7, np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_of_another_kind_is_refused(array):
    with pytest.raises(ValueError, match="an image array must be"):
        read_image(array)


def test_a_missing_file_a_folder_a_text_and_a_truncated_photo_are_refused(tmp_path):
    (tmp_path / "notes.jpg").write_text("no image")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    with pytest.raises(FileNotFoundError, match="no such image: .*missing.png"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(ValueError, match="notes.jpg is not an image"):
        read_image(tmp_path / "notes.jpg")
    with pytest.raises(ValueError, match="cut.jpg cannot be decoded"):
        read_image(tmp_path / "cut.jpg")


def test_floating_point_pixels_are_refused():
    with pytest.raises(ValueError, match="save it with 8 or 16 bits"):
        read_image(Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)))
