"""Cityscapes from its official maps or polygons, and from a disk that cannot be written."""

import errno
import json

import numpy as np
import pytest
from command_line import exit_code, output_of
from miniature import write_image
from PIL import Image

import proxyclip as pc
from proxyclip.data import prepare, vocab
from proxyclip.data.samples import DataError, SampleError

#: Names, official numbers, train ids and boxes of a scene; later objects hide earlier ones.
STREET = [("road", 7, 0, (0, 0, 29, 19)), ("cargroup", 26, 13, (2, 2, 9, 9)), ("rider", 25, 12, (4, 4, 6, 6)),
          ("train", 31, 16, (20, 3, 25, 8)), ("ego vehicle", 1, -1, (0, 15, 29, 19)),
          ("license plate", 255, -1, (21, 4, 22, 5))]


@pytest.fixture
def expected(tmp_path):
    """Writes a labelIds map, the polygons of the same scene, and an image; the labels of the scene."""
    name, city = "lindau_000000_000019", tmp_path / "gtFine" / "val" / "lindau"
    city.mkdir(parents=True)
    numbers, expected = np.zeros((20, 30), np.uint8), np.full((20, 30), -1)
    objects = [{"label": "bus", "deleted": 1, "polygon": [[0, 0], [29, 0], [29, 19]]}]
    for label, number, train_id, (left, top, right, bottom) in STREET:
        numbers[top : bottom + 1, left : right + 1] = number
        expected[top : bottom + 1, left : right + 1] = train_id
        objects.append({"label": label, "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]})
    Image.fromarray(numbers).save(city / f"{name}_gtFine_labelIds.png")
    record = {"imgHeight": 20, "imgWidth": 30, "objects": [*objects[1:], objects[0]]}
    (city / f"{name}_gtFine_polygons.json").write_text(json.dumps(record))
    write_image(tmp_path / f"leftImg8bit/val/lindau/{name}_leftImg8bit.png", np.random.default_rng(0), (20, 30))
    return expected


@pytest.mark.parametrize("other", ["labelIds.png", "polygons.json"])
def test_cityscapes_becomes_train_ids(other, expected, tmp_path):
    next(tmp_path.rglob(f"*_{other}")).unlink()
    assert "1 label files written" in output_of("prepare", "cityscapes", tmp_path / "gtFine", "--data", tmp_path)
    (sample,) = pc.dataset("cityscapes", tmp_path)
    assert (sample.labels == expected).all()


def test_the_numbers_of_cityscapes_cover_its_classes_in_order():
    numbers = list(prepare.CITYSCAPES_NUMBERS.values())
    names = [name.replace(" ", "") for name in prepare.CITYSCAPES_NUMBERS]
    assert numbers == sorted(numbers) and names == list(vocab.load("cityscapes").names)


def test_what_is_no_cityscapes_download_is_named(expected, tmp_path):
    with pytest.raises(DataError, match="no val or gtFine/val in it; name the gtFine"):
        prepare.cityscapes(tmp_path / "gtFine" / "val", tmp_path)
    next(tmp_path.rglob("*_labelIds.png")).unlink()
    next(tmp_path.rglob("*_polygons.json")).write_text("{}")
    with pytest.raises(SampleError, match="polygons.json: not a polygon file of Cityscapes"):
        prepare.cityscapes(tmp_path / "gtFine", tmp_path)
    assert not list(tmp_path.rglob("*TrainIds.png"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_is_one_sentence_and_leaves_nothing(number, expected, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError(number, "reason")

    monkeypatch.setattr(Image.Image, "save", fail)
    assert exit_code(monkeypatch, "prepare", "cityscapes", tmp_path, "--data", tmp_path / "d") == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "TrainIds.png" in printed
    assert not [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
