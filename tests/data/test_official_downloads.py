"""Official annotations of Cityscapes, PASCAL Context and COCO become sets; what is wrong with them is named."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from miniature import write_image, write_tree
from PIL import Image, ImageDraw
from pycocotools import mask as masks
from scipy.io import savemat
from typer.testing import CliRunner

import proxyclip as pc
from proxyclip.cli.app import app
from proxyclip.data import prepare, vocab
from proxyclip.data.samples import DataError, SampleError
from proxyclip.inference.images import read_image


def run(*arguments: object) -> str:
    return CliRunner().invoke(app, [str(part) for part in arguments], catch_exceptions=False).output


# ---------------------------------------------------------------------------------------------------------- cityscapes

STREET = [("road", 7), ("car", 26), ("rider", 25), ("train", 31), ("ego vehicle", 1), ("license plate", 255)]


def street(folder: Path) -> np.ndarray:
    """A labelIds map, the polygons of the same scene, and an image; returns the train ids."""
    city = folder / "gtFine" / "val" / "lindau"
    city.mkdir(parents=True)
    boxes = [(0, 0, 29, 19), (2, 2, 9, 9), (4, 4, 6, 6), (20, 3, 25, 8), (0, 15, 29, 19), (21, 4, 22, 5)]
    numbers, expected = np.zeros((20, 30), np.uint8), np.full((20, 30), 255)
    order = {"road": 0, "car": 13, "rider": 12, "train": 16}
    for (name, number), (left, top, right, bottom) in zip(STREET, boxes, strict=True):
        numbers[top : bottom + 1, left : right + 1] = number
        expected[top : bottom + 1, left : right + 1] = order.get(name, 255)
    Image.fromarray(numbers).save(city / "lindau_000000_000019_gtFine_labelIds.png")
    objects = [{"label": "cargroup" if name == "car" else name,
                "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]]}
               for (name, _), (left, top, right, bottom) in zip(STREET, boxes, strict=True)]
    objects.append({"label": "bus", "deleted": 1, "polygon": [[0, 0], [29, 0], [29, 19]]})
    (city / "lindau_000000_000019_gtFine_polygons.json").write_text(
        json.dumps({"imgHeight": 20, "imgWidth": 30, "objects": objects}))
    write_image(folder / "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png", np.random.default_rng(0),
                (20, 30))
    return expected


@pytest.mark.parametrize("source", ["labelIds", "polygons"])
def test_cityscapes_becomes_train_ids(source: str, tmp_path: Path) -> None:
    expected = street(tmp_path)
    other = "polygons.json" if source == "labelIds" else "labelIds.png"
    next(tmp_path.rglob(f"*_{other}")).unlink()
    assert "1 label files written" in run("prepare", "cityscapes", tmp_path / "gtFine", "--data", tmp_path)
    (sample,) = pc.dataset("cityscapes", tmp_path)
    assert (sample.labels == np.where(expected == 255, -1, expected)).all()


def test_the_numbers_of_cityscapes_cover_its_classes_in_order() -> None:
    numbers = list(prepare.CITYSCAPES_NUMBERS.values())
    names = [name.replace(" ", "") for name in prepare.CITYSCAPES_NUMBERS]
    assert numbers == sorted(numbers) and names == list(vocab.load("cityscapes").names)


def test_what_is_no_cityscapes_download_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no val or gtFine/val in it; name the gtFine"):
        prepare.cityscapes(tmp_path, tmp_path)
    street(tmp_path)
    next(tmp_path.rglob("*_labelIds.png")).unlink()
    next(tmp_path.rglob("*_polygons.json")).write_text("{}")
    with pytest.raises(SampleError, match="polygons.json: not a polygon file of Cityscapes"):
        prepare.cityscapes(tmp_path / "gtFine", tmp_path)
    assert not list(tmp_path.rglob("*TrainIds.png"))


# ------------------------------------------------------------------------------------------------------------- context


def test_context_gets_its_list_of_validation_images_from_voc_2010(tmp_path: Path) -> None:
    names, maps, root = tmp_path / "labels.txt", tmp_path / "trainval", tmp_path / "VOC2010"
    words = vocab.load("pc459").names
    names.write_text("".join(f"{number}: {word}\n" for number, word in enumerate(words, start=1)))
    maps.mkdir()
    for name in ("2008_000001", "2008_000002", "2008_000003"):
        savemat(maps / f"{name}.mat", {"LabelMap": np.arange(460).reshape(20, 23).astype(np.uint16)})
        write_image(root / "JPEGImages" / f"{name}.jpg", np.random.default_rng(0), (20, 23))
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("2008_000002\n2008_000003\n2008_000009\n")
    assert "2 label files written" in run("prepare", "context", maps, "--names", names, "--data", root)
    for name in ("context60", "context59"):
        data = pc.dataset(name, root)
        assert [sample.id for sample in data] == ["2008_000002", "2008_000003"] and not data.problems()


def test_context_without_any_list_says_that_all_maps_count(tmp_path: Path) -> None:
    words = vocab.load("pc459").names
    (tmp_path / "labels.txt").write_text("".join(f"{n}: {word}\n" for n, word in enumerate(words, start=1)))
    savemat(tmp_path / "a.mat", {"LabelMap": np.ones((2, 2))})
    printed = run("prepare", "context", tmp_path, "--names", tmp_path / "labels.txt", "--data", tmp_path / "root")
    assert "note: all 1 maps count as validation images" in printed
    assert (tmp_path / "root/ImageSets/SegmentationContext/val.txt").read_text() == "a\n"


def merged(path: Path) -> np.ndarray:
    """PASCAL Context in one file: compressed and plain run lengths, a category beyond the 59, two phases."""
    words = vocab.load("pc459").names
    sky, car, other = words.index("sky") + 1, words.index("car") + 1, words.index("accordion") + 1
    drawn = [(sky, (0, 0, 14, 9)), (car, (3, 3, 7, 7)), (other, (9, 1, 12, 4))]
    expected = np.zeros((10, 15), int)
    annotations = []
    classes = {sky: vocab.load("context60").names.index("sky"), car: vocab.load("context60").names.index("car")}
    for position, (category, box) in enumerate(drawn):
        picture = Image.new("1", (15, 10))
        ImageDraw.Draw(picture).rectangle(box, fill=1)
        pixels = np.asarray(picture)
        expected[pixels] = classes.get(category, expected[pixels])
        run_lengths = masks.encode(np.asfortranarray(pixels.astype(np.uint8)))
        segmentation = {"size": [10, 15], "counts": run_lengths["counts"].decode()}
        annotations.append({"image_id": 20080000002, "category_id": category, "segmentation": segmentation,
                            "id": position})
    images = [{"image_id": 20080000002, "file_name": "2008_000002.jpg", "phase": "val", "height": 10, "width": 15},
              {"image_id": 20080000001, "file_name": "2008_000001.jpg", "phase": "train", "height": 3, "width": 3}]
    categories = [{"category_id": number, "name": word} for number, word in enumerate(words, start=1)]
    path.write_text(json.dumps({"images": images, "categories": categories, "annos_segmentation": annotations}))
    return expected


def test_context_from_the_merged_file(tmp_path: Path) -> None:
    expected = merged(tmp_path / "trainval_merged.json")
    write_image(tmp_path / "JPEGImages" / "2008_000002.jpg", np.random.default_rng(0), (10, 15))
    run("prepare", "context", tmp_path / "trainval_merged.json", "--data", tmp_path)
    (sample,) = pc.dataset("context60", tmp_path)
    assert sample.id == "2008_000002" and (sample.labels == expected).all()


def test_another_json_file_is_not_taken_for_context(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(DataError, match="a.json: not PASCAL Context's trainval_merged.json .KeyError"):
        prepare.context(tmp_path / "a.json", None, tmp_path)
    with pytest.raises(DataError, match="the .mat files need the list of names"):
        prepare.context(tmp_path, None, tmp_path)


# ---------------------------------------------------------------------------------------------------------------- coco


def test_coco_object_from_the_maps_of_coco_stuff(tmp_path: Path) -> None:
    words = vocab.load("coco_stuff").names
    (tmp_path / "labels.txt").write_text("0: unlabeled\n" + "".join(f"{n}: {w}\n" for n, w in enumerate(words, 1)))
    (tmp_path / "maps").mkdir()
    stored = np.array([[0, 79, 100], [5, 170, 255]], np.uint8)  # two objects, stuff, an object, stuff, no label
    Image.fromarray(stored).save(tmp_path / "maps" / "000000000007.png")
    run("prepare", "coco-object", tmp_path / "maps", "--names", tmp_path / "labels.txt", "--data", tmp_path)
    labels = np.asarray(Image.open(tmp_path / "annotations/val2017/000000000007_instanceTrainIds.png"))
    objects = vocab.load("coco_object").names
    for value, label in zip(stored.flat, labels.flat, strict=True):
        word = "" if value == 255 else words[value]
        assert label == (255 if value == 255 else objects.index(word) if word in objects[1:] else 0)
    (tmp_path / "instances.json").write_text(json.dumps({
        "images": [{"id": 7, "file_name": "000000000007.jpg", "height": 2, "width": 3}], "annotations": [],
        "categories": [{"id": n, "name": w} for n, w in enumerate(objects[1:])]}))
    with pytest.raises(DataError, match="labels made from stuffthingmaps; to make them from instances, overwrite"):
        prepare.coco_object(tmp_path / "instances.json", tmp_path)
    assert prepare.coco_object(tmp_path / "instances.json", tmp_path, overwrite=True).written == 1


def test_a_map_stored_as_a_colour_picture_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    words = vocab.load("coco_stuff").names
    (tmp_path / "labels.txt").write_text("".join(f"{n}: {word}\n" for n, word in enumerate(words, 1)))
    (tmp_path / "maps").mkdir()
    Image.new("RGB", (3, 2)).save(tmp_path / "maps" / "000000000007.png")
    with pytest.raises(SampleError, match="000000000007.png: mode RGB; allowed is one channel"):
        prepare.coco_stuff(tmp_path / "maps", tmp_path / "labels.txt", tmp_path)
    assert not list((tmp_path / "annotations").rglob("*.*"))


# ------------------------------------------------------------------------------------------------------ what goes wrong


def test_an_image_that_asks_to_be_turned_is_read_as_its_labels_are(tmp_path: Path) -> None:
    root = write_tree("voc21", tmp_path)
    path = root / "JPEGImages" / "a_0001.jpg"
    picture = Image.open(path)
    picture.load()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(path, exif=exif)
    sample = pc.dataset("voc21", root)[0]
    assert sample.labels.shape == (sample.image.height, sample.image.width)
    assert (read_image(sample.image) == np.asarray(sample.image)).all(), "the model turns what the labels do not"
    Image.new("P", picture.size[::-1]).save(root / "SegmentationClass" / "a_0001.png")
    with pytest.raises(SampleError, match="which an EXIF entry asks to turn for viewing; images and labels"):
        pc.dataset("voc21", root)[0]


@pytest.mark.parametrize("named", ["VOCdevkit/VOC2012/JPEGImages", ".", "VOCdevkit/VOC2012/ImageSets/Segmentation"])
def test_a_folder_of_another_level_is_answered_with_the_right_one(named: str, tmp_path: Path) -> None:
    write_tree("voc21", tmp_path / "deep" / "VOCdevkit" / "VOC2012")
    with pytest.raises(DataError) as caught:
        pc.dataset("voc21", tmp_path / ("." if named == "." else f"deep/{named}"))
    assert "\n" not in str(caught.value)
    assert f"but in {tmp_path / 'deep/VOCdevkit/VOC2012'}; name that folder" in str(caught.value)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_is_one_sentence_and_leaves_nothing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from proxyclip.cli import app as cli

    street(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "reason")

    monkeypatch.setattr(Image.Image, "save", fail)
    target = str(tmp_path / "d")
    monkeypatch.setattr("sys.argv", ["proxyclip", "prepare", "cityscapes", str(tmp_path), "--data", target])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr().err
    assert stop.value.code == 2 and printed.count("\n") == 1 and "TrainIds.png" in printed
    assert not [path for path in (tmp_path / "d").rglob("*") if path.is_file()]
