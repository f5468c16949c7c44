"""The ten benchmarks on miniature trees: layouts, labels, vocabularies, and a sentence for each defect."""

import csv
from pathlib import Path

import numpy as np
import pytest
from miniature import CITIES, NAMES, SIZE, stored_values, write_image, write_labels, write_tree
from PIL import Image

import proxyclip as pc
from proxyclip.data import vocab
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.data.samples import DataError, SampleError

SHARED = Path(__file__).parents[3] / "shared" / "vocab"
PUBLISHED_COUNTS = {
    "voc21": 21, "voc20": 20, "context60": 60, "context59": 59, "coco_object": 81, "coco_stuff": 171,
    "cityscapes": 19, "ade150": 150, "ade847": 847, "pc459": 459,
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_reads_its_own_layout(name, tmp_path):
    data = pc.dataset(name, write_tree(name, tmp_path))
    assert len(data) == 3
    assert [sample.id for sample in data] == (CITIES if name == "cityscapes" else NAMES)
    assert len(data.vocabulary) == PUBLISHED_COUNTS[name]
    for index, sample in enumerate(data):
        assert sample.image.mode == "RGB" and sample.image.size == SIZE[::-1]
        assert sample.labels.shape == SIZE and sample.labels.dtype == np.int32
        stored = np.asarray(Image.open(data.paths(index)[1])).astype(int)
        _, ignored = stored_values(name)
        for value in np.unique(stored):
            zero_is_void = name in ("voc20", "context59", "ade150")
            expected = -1 if value == ignored or (zero_is_void and value == 0) else value - zero_is_void
            assert (sample.labels[stored == value] == expected).all()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_class_names_are_the_published_ones_in_their_order(name):
    if not SHARED.is_dir():
        pytest.skip("the reference lists are not next to this repository")
    with open(SHARED / f"{name}.csv", newline="") as stream:
        rows = [(int(row["class_id"]), row["query"]) for row in csv.DictReader(stream)]
    vocabulary = vocab.load(name)
    assert list(zip(vocabulary.class_of_query, vocabulary.queries, strict=True)) == rows


def test_protocols_are_the_published_ones():
    rows = {name: (b.protocol.short_side, b.protocol.window, b.protocol.stride) for name, b in BENCHMARKS.items()}
    assert rows.pop("cityscapes") == (448, 224, 112)
    assert {name for name, row in rows.items() if row == (448, 336, 112)} == {"ade150", "ade847", "pc459"}
    assert {row for name, row in rows.items() if name not in ("ade150", "ade847", "pc459")} == {(336, 336, 112)}
    thresholds = {name: b.protocol.threshold(pc.Adaptive()) for name, b in BENCHMARKS.items()}
    assert {name: value for name, value in thresholds.items() if value is not None} == {
        "voc21": 0.2, "context60": 0.15, "coco_object": 0.25,
    }
    baseline = {name: b.protocol.threshold("vanilla") for name, b in BENCHMARKS.items()}
    assert {name: value for name, value in baseline.items() if value is not None} == {
        "voc21": 0.1, "context60": 0.05, "coco_object": 0.1,
    }


def test_a_set_is_found_below_a_common_root_and_by_the_environment(tmp_path, monkeypatch):
    write_tree("voc21", tmp_path / "VOCdevkit" / "VOC2012")
    write_tree("context60", tmp_path / "VOCdevkit" / "VOC2010")
    assert pc.dataset("voc20", tmp_path).root.name == "VOC2012"
    monkeypatch.setenv("PROXYCLIP_DATA", str(tmp_path))
    assert pc.dataset("context59").root.name == "VOC2010"


def test_a_plain_list_of_the_field_replaces_the_class_names(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["land; water"] + [f"class {n}" for n in range(1, 21)]) + "\n")
    data = pc.dataset("voc21", write_tree("voc21", tmp_path), vocabulary=names)
    assert data.vocabulary.queries[:3] == ("land", "water", "class 1")
    names.write_text("one\ntwo\n")
    with pytest.raises(ValueError, match="2 classes, the labels have 21"):
        pc.dataset("voc21", tmp_path, vocabulary=names)


def test_an_incomplete_set_says_how_many_images_there_should_be(tmp_path):
    (note,) = pc.dataset("voc21", write_tree("voc21", tmp_path)).notes()
    assert "3 images" in note and "1449" in note


# --------------------------------------------------------------------------------------------- imperfect data


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return write_tree("voc21", tmp_path)


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


LABELS_OUTSIDE = np.zeros(SIZE, int)
LABELS_OUTSIDE[3, 5] = LABELS_OUTSIDE[4, 5] = 21


@pytest.mark.parametrize(("spoil", "sentence"), [
    (lambda image, _: cut(image, 200), "a_0002.jpg: not a readable image"),
    (lambda image, _: image.write_text("not an image"), "a_0002.jpg: not a readable image"),
    (lambda _, labels: cut(labels, 60), "a_0002.png: not a readable label map"),
    (lambda _, labels: write_image(labels, np.random.default_rng(0)),
     "a_0002.png: mode RGB; allowed is one channel of 8 or 16 bits"),
    (lambda _, labels: write_labels(labels, LABELS_OUTSIDE),
     r"a_0002.png: label 21 at row 3, column 5 \(2 such pixels\); allowed are 0 to 20 and 255"),
    (lambda _, labels: write_labels(labels, np.zeros((20, 30), int)),
     r"a_0002.png: 30 x 20 pixels, but its image .*a_0002.jpg has 58 x 44"),
])
def test_a_file_that_cannot_be_used_is_named_with_the_reason(spoil, sentence, voc):
    spoil(voc / "JPEGImages" / "a_0002.jpg", voc / "SegmentationClass" / "a_0002.png")
    with pytest.raises(SampleError, match=sentence):
        pc.dataset("voc21", voc)[1]


def test_an_image_with_an_exif_rotation_is_read_as_its_labels_are(voc):
    path = voc / "JPEGImages" / "a_0001.jpg"
    picture = Image.open(path)
    picture.load()
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(path, exif=exif)
    sample = pc.dataset("voc21", voc)[0]
    assert sample.labels.shape == (sample.image.height, sample.image.width)
    assert (pc.read_image(sample.image) == np.asarray(sample.image)).all(), "the model rotates what the labels do not"
    Image.new("P", picture.size[::-1]).save(voc / "SegmentationClass" / "a_0001.png")
    with pytest.raises(SampleError, match="which its EXIF data ask to rotate for viewing; images and labels"):
        pc.dataset("voc21", voc)[0]


@pytest.mark.parametrize(("content", "sentence"), [
    ("\n", "val.txt: empty, the complete voc21 has 1449 images"),
    ("a_0001\na_0002\na_0001\n", "lists a_0001 twice"),
    (None, "val.txt: not a readable list of images"),
])
def test_a_list_without_images_or_with_one_twice_is_refused(content, sentence, voc):
    split = voc / "ImageSets/Segmentation/val.txt"
    split.unlink() if content is None else split.write_text(content)
    with pytest.raises(DataError, match=sentence):
        pc.dataset("voc21", voc)


def test_a_truncated_list_is_recognised(voc):
    (voc / "ImageSets/Segmentation/val.txt").write_text("a_0001\na_0002\nb_0")
    (error,) = pc.dataset("voc21", voc).problems().values()
    assert 'val.txt ends in the middle of a name ("b_0"), the list is truncated' in str(error)


def test_without_data_the_error_says_where_to_put_them_and_where_they_come_from(voc, monkeypatch):
    with pytest.raises(DataError, match=f"in {voc}, .*www.cityscapes-dataset.com"):
        pc.dataset("cityscapes", voc)
    monkeypatch.delenv("PROXYCLIP_DATA", raising=False)
    with pytest.raises(DataError, match="give root=FOLDER .* or set PROXYCLIP_DATA"):
        pc.dataset("cityscapes")
    with pytest.raises(DataError, match='no data set "voc22"; there are voc21'):
        pc.dataset("voc22", voc)
    with pytest.raises(DataError, match='no generated set "tiny/none"; there are tiny/voc'):
        pc.dataset("tiny/none")
    with pytest.raises(DataError, match="unknown option seed"):
        pc.dataset("voc21", voc, seed=3)


@pytest.mark.parametrize("named", ["deep/VOCdevkit/VOC2012/JPEGImages", ".",
                                   "deep/VOCdevkit/VOC2012/ImageSets/Segmentation"])
def test_a_folder_of_another_level_is_answered_with_the_right_one(named, tmp_path):
    root = write_tree("voc21", tmp_path / "deep" / "VOCdevkit" / "VOC2012")
    with pytest.raises(DataError, match=f"but in {root}; name that folder$"):
        pc.dataset("voc21", tmp_path / named)
