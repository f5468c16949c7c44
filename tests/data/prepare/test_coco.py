"""COCO-Object and COCO-Stuff from miniature copies of their official downloads."""

import json

import numpy as np
import pytest
from command_line import output_of
from miniature import write_image, write_names
from PIL import Image

import proxyclip as pc
from proxyclip.data import prepare, vocab
from proxyclip.data.protocol_card import card_of, published_card
from proxyclip.data.samples import DataError, SampleError

#: COCO's category numbers have gaps; these are three of the official ones, out of order.
CATEGORIES = {3: "car", 1: "person", 90: "toothbrush"}
OBJECTS = vocab.load("coco_object").names
STUFF = vocab.load("coco_stuff").names


def categories():
    free = iter(range(100, 300))
    numbers = {name: number for number, name in CATEGORIES.items()}
    return [{"id": numbers.get(name) or next(free), "name": name} for name in reversed(OBJECTS[1:])]


def square(left, top, side):
    return [[left, top, left + side, top, left + side, top + side, left, top + side]]


def write_instances(folder, categories):
    annotations = [
        {"image_id": 7, "category_id": 90, "area": 16, "segmentation": square(4, 4, 4)},  # listed first
        {"image_id": 7, "category_id": 1, "area": 144, "segmentation": square(2, 2, 12)},
        {"image_id": 7, "category_id": 3, "area": 3, "iscrowd": 1,
         "segmentation": {"size": [20, 30], "counts": [0, 3, 597]}},
    ]
    images = [
        {"id": 7, "file_name": "000000000007.jpg", "height": 20, "width": 30},
        {"id": 8, "file_name": "000000000008.jpg", "height": 5, "width": 6},
    ]
    path = folder / "instances_val2017.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def write_maps(folder, picture):
    (folder / "maps").mkdir()
    picture.save(folder / "maps" / "000000000007.png")
    return folder / "maps"


def test_coco_object_is_drawn_from_instances_with_small_ones_in_front(tmp_path):
    command = ["prepare", "coco-object", write_instances(tmp_path, categories()), "--data", tmp_path]
    assert "2 label files written, 0 existed already" in output_of(*command)
    assert "0 label files written, 2 existed already" in output_of(*command)
    for name, size in (("000000000007", (20, 30)), ("000000000008", (5, 6))):
        write_image(tmp_path / "images/val2017" / f"{name}.jpg", np.random.default_rng(0), size)
    expected = np.zeros((20, 30), int)
    expected[2:14, 2:14] = OBJECTS.index("person")
    expected[4:8, 4:8] = OBJECTS.index("toothbrush")
    expected[0:3, 0] = OBJECTS.index("car")  # run lengths go down the columns
    first, second = pc.dataset("coco_object", tmp_path)
    assert (first.labels == expected).all() and not second.labels.any()


def test_a_missing_category_and_a_file_of_another_kind_are_named(tmp_path):
    lacking = [entry for entry in categories() if entry["name"] != "zebra"]
    with pytest.raises(DataError, match="instances_val2017.json: 1 classes have no entry there, the first is 'zebra'"):
        prepare.coco_object(write_instances(tmp_path, lacking), tmp_path)
    with pytest.raises(DataError, match="not an instances file of COCO"):
        prepare.coco_object(tmp_path / "absent.json", tmp_path)


@pytest.mark.parametrize("unlabelled", ["background", "ignored"])
def test_coco_object_from_the_maps_of_coco_stuff(unlabelled, tmp_path):
    names = write_names(tmp_path / "labels.txt", ["unlabeled", *STUFF], first=0)
    stored = np.array([[0, 79, 100], [5, 170, 255]], np.uint8)  # two objects, stuff, an object, stuff, no label
    maps = write_maps(tmp_path, Image.fromarray(stored))
    options = [] if unlabelled == "background" else ["--unlabelled", "ignored"]  # published: background
    output_of("prepare", "coco-object", maps, "--names", names, "--data", tmp_path, *options)
    labels = np.asarray(Image.open(tmp_path / "annotations/val2017/000000000007_instanceTrainIds.png"))
    for value, label in zip(stored.flat, labels.flat, strict=True):
        word = "" if value == 255 else STUFF[value]
        void = 255 if unlabelled == "ignored" else 0
        assert label == (void if value == 255 else OBJECTS.index(word) if word in OBJECTS[1:] else 0)
    instances = write_instances(tmp_path, categories())
    with pytest.raises(DataError, match=f"made from stuffthingmaps, unlabelled pixels {unlabelled}; to make them"):
        prepare.coco_object(instances, tmp_path)
    write_image(tmp_path / "images/val2017/000000000007.jpg", np.random.default_rng(0), stored.shape)
    card = card_of(pc.dataset("coco_object", tmp_path))
    assert (card == published_card("coco_object")) == (unlabelled == "background")
    output_of("prepare", "coco-stuff", maps, "--names", names, "--data", tmp_path)  # beside it, in the same folder
    assert card_of(pc.dataset("coco_stuff", tmp_path)) == published_card("coco_stuff")
    assert prepare.coco_object(instances, tmp_path, overwrite=True).written == 2
    card = card_of(pc.dataset("coco_object", tmp_path))
    assert card.name == "coco_object@2, changed: remark" and card.remark == "labels made from instances"


def test_labels_that_another_tool_made_are_never_mixed_with_ours(tmp_path):
    folder = tmp_path / "annotations" / "val2017"
    folder.mkdir(parents=True)
    (folder / "000000000007_instanceTrainIds.png").write_bytes(b"")
    with pytest.raises(DataError, match="holds labels made from another source; .*--overwrite"):
        prepare.coco_object(write_instances(tmp_path, categories()), tmp_path)


def test_another_word_for_unlabelled_pixels_is_refused(tmp_path):
    with pytest.raises(ValueError, match='unlabelled must be "background" or "ignored", got \'void\''):
        prepare.coco_object_from_maps(tmp_path, tmp_path, tmp_path, unlabelled="void")


def test_coco_stuff_is_renumbered_by_its_list(tmp_path):
    listed = {0: "unlabeled", **{2 * k + 1 if k < 60 else k + 61: word for k, word in enumerate(STUFF)}}
    (tmp_path / "labels.txt").write_text("".join(f"{number}: {word}\n" for number, word in listed.items()))
    stored = np.array([[0, 2, 4], [170, 230, 255]], np.uint8)
    done = prepare.coco_stuff(write_maps(tmp_path, Image.fromarray(stored)), tmp_path / "labels.txt", tmp_path)
    labels = np.asarray(Image.open(done.folder / "000000000007_labelTrainIds.png"))
    by_value = {number - 1: STUFF.index(word) for number, word in listed.items() if number}
    assert labels.tolist() == [[by_value.get(int(value), 255) for value in row] for row in stored]


def test_a_map_stored_as_a_colour_picture_is_refused_and_nothing_is_written(tmp_path):
    names = write_names(tmp_path / "labels.txt", STUFF)
    with pytest.raises(SampleError, match="000000000007.png: mode RGB; allowed is one channel"):
        prepare.coco_stuff(write_maps(tmp_path, Image.new("RGB", (3, 2))), names, tmp_path)
    assert not list((tmp_path / "annotations").rglob("*.*"))
