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
          ("train", 31, 16, (20, 3, 25, 8)), ("ego vehicle", 1, -1, (0, 15, 29, 19))]

#: The official table: name, id, train id; -1 is not drawn.
OFFICIAL = """
unlabeled 0 255, ego vehicle 1 255, rectification border 2 255, out of roi 3 255, static 4 255, dynamic 5 255,
ground 6 255, road 7 0, sidewalk 8 1, parking 9 255, rail track 10 255, building 11 2, wall 12 3, fence 13 4,
guard rail 14 255, bridge 15 255, tunnel 16 255, pole 17 5, polegroup 18 255, traffic light 19 6, traffic sign 20 7,
vegetation 21 8, terrain 22 9, sky 23 10, person 24 11, rider 25 12, car 26 13, truck 27 14, bus 28 15, caravan 29 255,
trailer 30 255, train 31 16, motorcycle 32 17, bicycle 33 18, license plate -1 -1"""
TABLE = {" ".join(words[:-2]): (int(words[-2]), int(words[-1])) for words in
         (entry.split() for entry in OFFICIAL.split(","))}


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


def test_all_labels_of_cityscapes_have_their_official_ids_and_train_ids():
    assert prepare.CITYSCAPES_LABELS == TABLE and len(TABLE) == 35
    evaluated = sorted((train_id, name) for name, (_, train_id) in TABLE.items() if 0 <= train_id < 255)
    assert [name.replace(" ", "") for _, name in evaluated] == list(vocab.load("cityscapes").names)


def write_polygons(root, *labels):
    """A scene of a car with one polygon of each label on it, beside each other; returns the folder of the set."""
    city = root / "gtFine" / "val" / "lindau"
    city.mkdir(parents=True, exist_ok=True)
    objects = [{"label": "car", "polygon": [[0, 0], [99, 0], [99, 3], [0, 3]]}]
    objects += [{"label": label, "polygon": [[2 * k, 0], [2 * k, 3]]} for k, label in enumerate(labels)]
    record = {"imgHeight": 4, "imgWidth": 100, "objects": objects}
    (city / "lindau_000000_000019_gtFine_polygons.json").write_text(json.dumps(record))
    return root / "gtFine"


def test_every_label_that_lies_on_a_car_is_drawn_as_in_the_official_table(tmp_path):
    done = prepare.cityscapes(write_polygons(tmp_path, *TABLE, "bicyclegroup"), tmp_path)
    (path,) = done.folder.rglob("*TrainIds.png")
    row = np.asarray(Image.open(path))[1]
    found = {label: int(row[2 * k]) for k, label in enumerate([*TABLE, "bicyclegroup"])}
    car = TABLE["car"][1]
    assert found == {**{label: car if number < 0 else train_id for label, (number, train_id) in TABLE.items()},
                     "bicyclegroup": 18}
    with pytest.raises(SampleError, match="polygons.json: not a polygon file of Cityscapes .*'tree' is none of its 35"):
        prepare.cityscapes(write_polygons(tmp_path, "tree"), tmp_path, overwrite=True)


def test_cities_that_are_links_are_prepared_and_what_macos_leaves_beside_files_is_not(tmp_path):
    write_polygons(tmp_path / "disk", "road")
    (tmp_path / "gtFine" / "val").mkdir(parents=True)
    (tmp_path / "gtFine" / "val" / "lindau").symlink_to(tmp_path / "disk" / "gtFine" / "val" / "lindau")
    (tmp_path / "disk/gtFine/val/lindau/._lindau_000000_000019_gtFine_polygons.json").write_bytes(b"\0")
    done = prepare.cityscapes(tmp_path / "gtFine", tmp_path / "out")
    assert done.written == 1
    (tmp_path / "out" / "leftImg8bit").symlink_to(tmp_path / "photos")
    write_image(tmp_path / "photos/val/lindau/lindau_000000_000019_leftImg8bit.png", np.random.default_rng(0), (4, 100))
    assert len(pc.dataset("cityscapes", tmp_path / "out")) == 1


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
