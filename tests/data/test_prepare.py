"""Label files from the official formats, on miniature downloads written here."""

import json
import os
import pickle

import numpy as np
import pytest
from miniature import NAMES, write_image, write_tree
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner

import proxyclip as pc
from proxyclip.cli.app import app
from proxyclip.data import prepare, vocab
from proxyclip.data.inventory import benchmark_statuses
from proxyclip.data.samples import DataError, SampleError

#: COCO's category numbers have gaps; these are three of the official ones, out of order.
CATEGORIES = {3: "car", 1: "person", 90: "toothbrush"}


def _categories() -> list[dict]:
    names = vocab.load("coco_object").names[1:]
    free = iter(number for number in range(100, 300))
    numbers = {name: number for number, name in CATEGORIES.items()}
    return [{"id": numbers.get(name) or next(free), "name": name} for name in reversed(names)]


def _square(left, top, side):
    return [[left, top, left + side, top, left + side, top + side, left, top + side]]


def _coco(tmp_path, categories=None):
    annotations = [
        {"image_id": 7, "category_id": 90, "area": 16, "segmentation": _square(4, 4, 4)},  # listed first
        {"image_id": 7, "category_id": 1, "area": 144, "segmentation": _square(2, 2, 12)},
        {"image_id": 7, "category_id": 3, "area": 3, "iscrowd": 1,
         "segmentation": {"size": [20, 30], "counts": [0, 3, 597]}},
    ]  # fmt: skip
    images = [
        {"id": 7, "file_name": "000000000007.jpg", "height": 20, "width": 30},
        {"id": 8, "file_name": "000000000008.jpg", "height": 5, "width": 6},
    ]
    path = tmp_path / "instances_val2017.json"
    categories = categories or _categories()
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def test_coco_object_is_drawn_from_instances_small_ones_in_front(tmp_path):
    done = prepare.coco_object(_coco(tmp_path), tmp_path / "coco")
    labels = np.asarray(Image.open(done.folder / "000000000007_instanceTrainIds.png"))
    expected = np.zeros((20, 30), int)
    expected[2:14, 2:14] = 1  # person
    expected[4:8, 4:8] = 80  # toothbrush
    expected[0:3, 0] = 3  # car: run lengths go down the columns
    assert (labels == expected).all()
    assert not np.asarray(Image.open(done.folder / "000000000008_instanceTrainIds.png")).any()
    assert (done.written, done.kept) == (2, 0)
    assert prepare.coco_object(_coco(tmp_path), tmp_path / "coco").kept == 2


def test_what_was_prepared_is_what_the_set_reads(tmp_path):
    done = prepare.coco_object(_coco(tmp_path), tmp_path)
    for name, size in (("000000000007", (20, 30)), ("000000000008", (5, 6))):
        write_image(tmp_path / "images/val2017" / f"{name}.jpg", np.random.default_rng(0), size)
    data = pc.dataset("coco_object", tmp_path)
    assert done.folder == tmp_path / "annotations/val2017"
    assert data[0].labels[5, 5] == 80 and data.vocabulary.names[80] == "toothbrush"


def test_a_category_that_is_missing_is_named(tmp_path):
    categories = [entry for entry in _categories() if entry["name"] != "zebra"]
    with pytest.raises(DataError, match="instances_val2017.json: 1 classes have no entry there, the first is 'zebra'"):
        prepare.coco_object(_coco(tmp_path, categories), tmp_path)
    with pytest.raises(DataError, match="not an instances file of COCO"):
        prepare.coco_object(tmp_path / "absent.json", tmp_path)


def _context(tmp_path):
    """The official list of 459 names, and maps whose numbers run over all of it."""
    names = tmp_path / "labels.txt"
    words = vocab.load("pc459").names
    names.write_text("".join(f"{number}: {word}\n" for number, word in enumerate(words, start=1)))
    maps = tmp_path / "trainval"
    maps.mkdir()
    numbers = np.arange(460).reshape(20, 23).astype(np.uint16)
    for name in NAMES:
        savemat(maps / f"{name}.mat", {"LabelMap": numbers}, do_compression=True)
    (tmp_path / "val.txt").write_text("a_0001\nb_0003\n")
    return maps, names, numbers


def test_pc459_keeps_every_name_and_ignores_what_has_none(tmp_path):
    maps, names, numbers = _context(tmp_path)
    done = prepare.pc459(maps, names, tmp_path / "voc", tmp_path / "val.txt")
    assert sorted(path.name for path in done.folder.iterdir()) == ["a_0001.tif", "b_0003.tif"]
    labels = np.asarray(Image.open(done.folder / "a_0001.tif")).astype(int)
    assert (labels == np.where(numbers == 0, 65535, numbers.astype(int) - 1)).all()


def test_context60_takes_59_of_the_names_and_calls_the_rest_background(tmp_path):
    maps, names, numbers = _context(tmp_path)
    done = prepare.context(maps, names, tmp_path / "voc")
    assert (done.folder, done.written) == (tmp_path / "voc" / "SegmentationClassContext", 3)
    labels = np.asarray(Image.open(done.folder / "a_0002.png"))
    words = ["", *vocab.load("pc459").names]
    context60 = vocab.load("context60").names
    for number, label in zip(numbers.flat, labels.flat, strict=True):
        assert label == (context60.index(words[number]) if words[number] in context60[1:] else 0)


def test_context_files_that_cannot_be_used_are_named(tmp_path):
    maps, names, _ = _context(tmp_path)
    (maps / "a_0002.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(SampleError, match="a_0002.mat: not a readable .mat file"):
        prepare.context(maps, names, tmp_path)
    assert [path.name for path in (tmp_path / "SegmentationClassContext").iterdir()] == ["a_0001.png"]
    savemat(maps / "a_0002.mat", {"Other": np.zeros(3)})
    with pytest.raises(SampleError, match="a_0002.mat: has no LabelMap"):
        prepare.context(maps, names, tmp_path)
    savemat(maps / "a_0002.mat", {"LabelMap": np.full((2, 2), 700)})
    with pytest.raises(SampleError, match="a_0002.mat: holds the number 700; the release's list ends at 459"):
        prepare.context(maps, names, tmp_path)
    names.write_text("1 accordion\n")
    with pytest.raises(DataError, match='labels.txt, line 1: "1 accordion" is not of the form "12: name"'):
        prepare.context(maps, names, tmp_path)


def _ade(tmp_path, matlab=False):
    """A release whose objects are the 847 classes in reverse order with others between them."""
    release = tmp_path / "ADE20K_2021_17_01"
    classes = vocab.load("ade847").names
    objects = [name for k, name in enumerate(reversed(classes)) for name in ([name, f"part {k}"] if k % 3 else [name])]
    release.mkdir()
    if matlab:
        savemat(release / "index_ade20k.mat", {"index": {"objectnames": np.array(objects, object)}})
    else:
        (release / "index_ade20k.pkl").write_bytes(pickle.dumps({"objectnames": objects, "filename": ["a"]}))
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, len(objects) + 1, (40, 50))
    colours = np.stack([numbers // 256 * 10, numbers % 256, rng.integers(0, 255, numbers.shape)], axis=2)
    folder = release / "images/ADE/validation/urban/street"
    folder.mkdir(parents=True)
    Image.fromarray(colours.astype(np.uint8)).save(folder / "ADE_val_00000001_seg.png")
    write_image(folder / "ADE_val_00000001.jpg", rng, (40, 50))
    train = release / "images/ADE/training/urban/street"
    train.mkdir(parents=True)
    Image.fromarray(colours.astype(np.uint8)).save(train / "ADE_train_00000001_seg.png")
    return release, ["", *objects], numbers


@pytest.mark.parametrize("matlab", [False, True])
def test_ade847_is_read_by_the_names_of_the_index(matlab, tmp_path):
    release, objects, numbers = _ade(tmp_path, matlab)
    done = prepare.ade847(release, tmp_path / "data")
    assert [path.name for path in done.folder.iterdir()] == ["ADE_val_00000001.tif"]
    (sample,) = pc.dataset("ade847", tmp_path / "data")
    classes = {name: index for index, name in enumerate(vocab.load("ade847").names)}
    assert (sample.labels == np.vectorize(lambda n: classes.get(objects[n], -1))(numbers)).all()
    assert sample.image.size == (50, 40)


class _Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_an_index_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index_ade20k.pkl").write_bytes(pickle.dumps({"objectnames": _Trap()}))
    with pytest.raises(DataError, match="index_ade20k.pkl: not the index of ADE20K .it refers to posix.mkdir"):
        prepare.ade847(tmp_path, tmp_path)
    assert not (tmp_path / "trapped").exists()
    with pytest.raises(DataError, match="no index_ade20k.pkl or index_ade20k.mat"):
        prepare.ade847(tmp_path / "elsewhere", tmp_path)


def test_coco_stuff_is_renumbered_by_its_list(tmp_path):
    words = vocab.load("coco_stuff").names
    listed = {0: "unlabeled", **{2 * k + 1 if k < 60 else k + 61: word for k, word in enumerate(words)}}
    (tmp_path / "labels.txt").write_text("".join(f"{number}: {word}\n" for number, word in listed.items()))
    (tmp_path / "maps").mkdir()
    stored = np.array([[0, 2, 4], [170, 230, 255]], np.uint8)
    Image.fromarray(stored).save(tmp_path / "maps" / "000000000007.png")
    done = prepare.coco_stuff(tmp_path / "maps", tmp_path / "labels.txt", tmp_path)
    labels = np.asarray(Image.open(done.folder / "000000000007_labelTrainIds.png"))
    by_value = {number - 1: words.index(word) for number, word in listed.items() if number}
    assert labels.tolist() == [[by_value.get(int(value), 255) for value in row] for row in stored]


def test_the_command_prepares_and_reports(tmp_path):
    arguments = ["prepare", "coco-object", str(_coco(tmp_path)), "--data", str(tmp_path)]
    assert ("2 label files written, 0 were there" in CliRunner().invoke(app, arguments, catch_exceptions=False).output)


def test_the_inventory_says_what_is_complete_and_what_is_missing(tmp_path):
    write_tree("voc21", tmp_path / "VOCdevkit/VOC2012")
    write_tree("ade150", tmp_path / "ade150")
    (tmp_path / "ade150/annotations/validation/a_0002.png").unlink()
    stock = {row.name: row for row in benchmark_statuses(tmp_path)}
    assert len(stock) == 10
    assert (stock["voc20"].state, stock["voc20"].images, stock["voc20"].expected) == ("incomplete", 3, 1449)
    assert stock["ade150"].missing == 1 and "a_0002.png: missing" in stock["ade150"].problem
    assert (stock["cityscapes"].state == "absent" and "cityscapes-dataset.com" in stock["cityscapes"].image_source)
    assert "proxyclip prepare pc459" in stock["pc459"].label_source


def test_a_set_with_all_its_images_is_complete(tmp_path, monkeypatch):
    from dataclasses import replace

    from proxyclip.data import benchmarks

    monkeypatch.setitem(benchmarks.BENCHMARKS, "voc21", replace(benchmarks.BENCHMARKS["voc21"], images=(3,)))
    write_tree("voc21", tmp_path)
    row = next(row for row in benchmark_statuses(tmp_path) if row.name == "voc21")
    assert (row.state, row.images, row.problem) == ("complete", 3, "")
