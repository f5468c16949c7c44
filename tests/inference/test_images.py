"""Reading images: every kind that users may pass, and one sentence for everything else."""

import errno
import os
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from proxyclip import read_image
from proxyclip.data.samples import read_sample_image
from proxyclip.inference import images

COLOUR = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


@pytest.mark.parametrize("stored", [COLOUR, COLOUR[..., 0]], ids=["colour", "grey"])
def test_arrays_files_and_pictures_are_the_same_image_and_grey_is_repeated_over_the_channels(stored, tmp_path):
    path, expected = tmp_path / "image.png", stored.reshape(5, 4, -1)
    Image.fromarray(stored).save(path)
    for image in (stored, expected, path, str(path), Image.fromarray(stored)):
        assert (read_image(image) == expected).all() and read_image(image).shape == (5, 4, 3)


def test_transparency_lies_over_white():
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, 1] = (10, 20, 30, 255)
    rgba[0, 2] = (0, 0, 0, 51)
    expected = [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]
    palette = Image.fromarray(np.array([[0, 1, 0]], np.uint8))
    palette.putpalette([7, 7, 7, 10, 20, 30])
    palette.info["transparency"] = 0
    assert (read_image(rgba) == expected).all()
    assert (read_image(Image.fromarray(rgba)) == expected).all()
    assert read_image(palette).tolist() == [[[255] * 3, [10, 20, 30], [255] * 3]]


def test_sixteen_bits_become_eight(tmp_path):
    deep = np.array([[1, 257, 65535, 32896]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    for image in (deep, tmp_path / "deep.png"):
        assert read_image(image)[0, :, 0].tolist() == [0, 1, 255, 128]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_by_its_exif_tag_as_pillow_does_it(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOUR).save(tmp_path / "rotated.png", exif=exif)
    with Image.open(tmp_path / "rotated.png") as picture:
        assert (read_image(tmp_path / "rotated.png") == np.asarray(ImageOps.exif_transpose(picture))).all()


@pytest.mark.parametrize("array", [np.zeros((3, 4, 5), np.uint8), np.zeros((4, 4, 3), np.float32),
                                   np.zeros(7, np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_an_array_of_another_kind_is_refused(array):
    with pytest.raises(ValueError, match="an image array must be"):
        read_image(array)


NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def bit_flipped(path):
    """An AVIF with one damaged byte, such that its decoder raises no error that is meant for damaged files."""
    Image.fromarray(NOISE).save(path)
    whole = path.read_bytes()
    for place in range(80, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            Image.open(path).load()
        except RuntimeError:
            return
        except (OSError, SyntaxError):
            continue


@pytest.mark.parametrize(("name", "make", "error", "sentence"), [
    ("missing.png", lambda path: None, FileNotFoundError, "no such image: .*missing.png"),
    ("folder", lambda path: path.mkdir(), ValueError, "folder is a folder, not an image"),
    ("notes.jpg", lambda path: path.write_text("no image"), ValueError, "notes.jpg is not an image"),
    ("cut.jpg", lambda path: (Image.fromarray(NOISE).save(path), path.write_bytes(path.read_bytes()[:900])),
     ValueError, "cut.jpg cannot be decoded"),
    pytest.param("flipped.avif", bit_flipped, ValueError, "flipped.avif cannot be decoded",
                 marks=pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")),
    ("pipe.png", lambda path: os.mkfifo(path), ValueError, "pipe.png is a pipe or a device"),
    ("n" * 300 + ".png", lambda path: None, ValueError, "not a readable image .File name too long"),
])
def test_what_is_no_image_is_refused_with_a_sentence_that_names_the_file(name, make, error, sentence, tmp_path):
    make(tmp_path / name)
    with pytest.raises(error, match=sentence):
        read_image(tmp_path / name)


@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
def test_an_intact_image_with_broken_metadata_is_read_as_it_is_stored(ending, tmp_path):
    path = tmp_path / f"photo.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(NOISE).save(path, exif=b"Exif\0\0MM\0*\0\0\xff\xff broken", **options)
    expected = np.asarray(Image.open(path).convert("RGB"))
    assert (read_image(path) == expected).all()


def test_a_grey_level_that_is_transparent_lies_over_white(tmp_path):
    for dtype, mark, opaque in ((np.uint8, 7, 200), (np.uint16, 2000, 51400)):
        Image.fromarray(np.array([[mark, opaque]], dtype)).save(tmp_path / "grey.png", transparency=mark)
        assert read_image(tmp_path / "grey.png")[0, :, 0].tolist() == [255, 200]


def test_a_tiff_in_which_white_is_zero_is_seen_as_in_a_viewer(tmp_path):
    Image.fromarray(np.array([[0, 257, 65535]], np.uint16)).save(tmp_path / "scan.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "scan.tif") as stored:
        assert stored.tag_v2[262] == 0
    assert read_image(tmp_path / "scan.tif")[0, :, 0].tolist() == [255, 254, 0]


@pytest.mark.parametrize(("name", "largest"), [("eight.tif", 255), ("twelve.png", 4095)])
def test_an_image_of_16_bits_that_is_nearly_black_is_read_with_a_warning(name, largest, tmp_path):
    Image.fromarray(np.array([[0, 3, largest]], np.uint16)).save(tmp_path / name)
    with pytest.warns(UserWarning, match=f"{name} has 16 bits, but no value above {largest} of 65535"):
        read_image(tmp_path / name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(np.array([[0, 4096]], np.uint16))
        read_image(np.zeros((2, 2), np.uint16))


def test_an_image_that_would_not_fit_into_memory_is_refused_unless_its_size_is_allowed(tmp_path, monkeypatch):
    Image.new("1", (13_300, 13_300)).save(tmp_path / "bomb.png")
    limit = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(images, "psutil", SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=8 * 10**9)))
    with pytest.raises(ValueError, match=r"bomb.png has 13,300 x 13,300 = 176.9 million pixels; labelling it needs "
                                         r"about 17.7 GB .*40,000,000 pixels are allowed.*--max-pixels 176890000"):
        read_image(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match="and 500 pixels are allowed"):
        read_image(tmp_path / "bomb.png", max_pixels=500)
    monkeypatch.setattr(images, "_LARGE", 10)
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    with pytest.warns(UserWarning, match=r"colour.png has 4 x 5 = 0.0 million pixels"):
        read_image(tmp_path / "colour.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "colour.png", max_pixels=20).shape == (5, 4, 3)
    monkeypatch.setattr(images, "_LARGE", 9)
    with pytest.raises(ValueError, match="and 18 pixels are allowed"):
        read_image(tmp_path / "colour.png")
    assert limit == Image.MAX_IMAGE_PIXELS is not None


def test_a_benchmark_reads_its_images_as_read_image_does(tmp_path):
    """16 bits and transparency, turned by no EXIF tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    deep, clear = np.full((5, 4), 78 * 257, np.uint16), np.zeros((5, 4, 4), np.uint8)
    clear[..., 0] = 255
    for array, expected in ((deep, (78, 78, 78)), (clear, (255, 255, 255))):
        Image.fromarray(array).save(tmp_path / "image.png", exif=exif)
        found = np.asarray(read_sample_image(tmp_path / "image.png"))
        assert found.shape == (5, 4, 3) and (found == expected).all()
        assert (found == read_image(tmp_path / "image.png", upright=False)).all()


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    Image.fromarray(COLOUR).save(tmp_path / "mine.png")
    monkeypatch.setattr(Image, "open", forbidden)
    with pytest.raises(ValueError, match="mine.png cannot be read: Permission denied"):
        read_image(tmp_path / "mine.png")


def test_floating_point_pixels_are_refused():
    with pytest.raises(ValueError, match="save it with 8 or 16 bits"):
        read_image(Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)))
