"""Context-59, Context-60 and PC459 from miniature copies of PASCAL Context's official downloads."""

import json

import numpy as np
import pytest
from command_line import output_of
from miniature import NAMES, write_image, write_names
from PIL import Image, ImageDraw
from pycocotools import mask as masks
from scipy.io import savemat

import proxyclip as pc
from proxyclip.data import prepare, vocab
from proxyclip.data.samples import DataError, SampleError

WORDS = vocab.load("pc459").names
CONTEXT60 = vocab.load("context60").names
#: The numbers of the list and 0, which stands for no name.
NUMBERS = np.arange(460).reshape(20, 23)


@pytest.fixture
def official(tmp_path):
    """The official list of 459 names, and maps in which every number of it occurs."""
    maps = tmp_path / "trainval"
    maps.mkdir()
    for name in NAMES:
        savemat(maps / f"{name}.mat", {"LabelMap": NUMBERS.astype(np.uint16)}, do_compression=True)
    return maps, write_names(tmp_path / "labels.txt", WORDS)


def test_pc459_keeps_every_name_and_ignores_what_has_none(official, tmp_path):
    (tmp_path / "val.txt").write_text("a_0001\nb_0003\n")
    done = prepare.pc459(*official, tmp_path / "voc", tmp_path / "val.txt")
    assert sorted(path.name for path in done.folder.iterdir()) == ["a_0001.tif", "b_0003.tif"]
    labels = np.asarray(Image.open(done.folder / "a_0001.tif")).astype(int)
    assert (labels == np.where(NUMBERS == 0, 65535, NUMBERS - 1)).all()


def test_context60_takes_59_of_the_names_and_the_validation_images_of_voc_2010(official, tmp_path):
    maps, names = official
    root = tmp_path / "VOC2010"
    for name in NAMES:
        write_image(root / "JPEGImages" / f"{name}.jpg", np.random.default_rng(0), NUMBERS.shape)
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("a_0002\nb_0003\nc_0009\n")
    assert "2 label files written" in output_of("prepare", "context", maps, "--names", names, "--data", root)
    for name in ("context60", "context59"):
        data = pc.dataset(name, root)
        assert [sample.id for sample in data] == ["a_0002", "b_0003"] and not data.problems()
    for number, label in zip(NUMBERS.flat, pc.dataset("context60", root)[0].labels.flat, strict=True):
        word = WORDS[number - 1] if number else ""
        assert label == (CONTEXT60.index(word) if word in CONTEXT60[1:] else 0)


def test_context_without_any_list_says_that_all_maps_count(official, tmp_path):
    printed = output_of("prepare", "context", official[0], "--names", official[1], "--data", tmp_path)
    assert "note: all 3 maps count as validation images" in printed
    assert (tmp_path / "ImageSets/SegmentationContext/val.txt").read_text().split() == NAMES


def test_context_files_that_cannot_be_used_are_named(official, tmp_path):
    maps, names = official
    (maps / "a_0002.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(SampleError, match="a_0002.mat: not a readable .mat file"):
        prepare.context(maps, names, tmp_path)
    assert [path.name for path in (tmp_path / "SegmentationClassContext").iterdir()] == ["a_0001.png"]
    beyond = {"LabelMap": np.full((2, 2), 700)}
    for content, sentence in (({"Other": np.zeros(3)}, "has no LabelMap"),
                              (beyond, "holds the number 700; the release's list ends at 459")):
        savemat(maps / "a_0002.mat", content)
        with pytest.raises(SampleError, match=f"a_0002.mat: {sentence}"):
            prepare.context(maps, names, tmp_path)
    names.write_text("1 accordion\n")
    with pytest.raises(DataError, match='labels.txt, line 1: "1 accordion" is not of the form "12: name"'):
        prepare.context(maps, names, tmp_path)


#: Number and name of the 59 categories of the official file, whose numbers are those of the list of 459 names.
OFFICIAL = {
    2: "aeroplane", 9: "bag", 18: "bed", 19: "bedclothes", 22: "bench", 23: "bicycle", 25: "bird", 31: "boat",
    33: "book", 34: "bottle", 44: "building", 45: "bus", 46: "cabinet", 59: "car", 65: "cat", 68: "ceiling",
    72: "chair", 80: "cloth", 85: "computer", 98: "cow", 104: "cup", 105: "curtain", 113: "dog", 115: "door",
    144: "fence", 158: "floor", 159: "flower", 162: "food", 187: "grass", 189: "ground", 207: "horse", 220: "keyboard",
    232: "light", 258: "motorbike", 259: "mountain", 260: "mouse", 284: "person", 295: "plate", 296: "platform",
    308: "pottedplant", 324: "road", 326: "rock", 347: "sheep", 349: "shelves", 354: "sidewalk", 355: "sign",
    360: "sky", 366: "snow", 368: "sofa", 397: "diningtable", 415: "track", 416: "train", 420: "tree", 424: "truck",
    427: "tvmonitor", 440: "wall", 445: "water", 454: "window", 458: "wood",
}


def write_merged(path):
    """PASCAL Context in one file of two phases; returns the expected labels.

    The regions overlap: the last one listed is in front, whether it is smaller or larger.
    """
    expected, annotations = np.zeros((10, 15), int), []
    regions = [("sky", (0, 0, 14, 9)), ("car", (3, 3, 4, 4)), ("diningtable", (2, 2, 7, 7)), ("dog", (9, 1, 12, 4))]
    classes = [name for _, name in sorted(OFFICIAL.items())]
    for number, (word, box) in enumerate(regions):
        picture = Image.new("1", (15, 10))
        ImageDraw.Draw(picture).rectangle(box, fill=1)
        pixels = np.asarray(picture)
        expected[pixels] = classes.index(word) + 1
        run_lengths = masks.encode(np.asfortranarray(pixels.astype(np.uint8)))
        annotations.append({"image_id": 20080000002, "id": number,
                            "category_id": next(key for key, name in OFFICIAL.items() if name == word),
                            "segmentation": {"size": [10, 15], "counts": run_lengths["counts"].decode()}})
    images = [{"image_id": 20080000002, "file_name": "2008_000002.jpg", "phase": "val", "height": 10, "width": 15},
              {"image_id": 20080000001, "file_name": "2008_000001.jpg", "phase": "train", "height": 3, "width": 3}]
    categories = [{"category_id": number, "name": word} for number, word in OFFICIAL.items()]
    path.write_text(json.dumps({"images": images, "categories": categories, "annos_segmentation": annotations}))
    return expected


def test_context_from_the_merged_file(tmp_path):
    expected = write_merged(tmp_path / "trainval_merged.json")
    write_image(tmp_path / "JPEGImages" / "2008_000002.jpg", np.random.default_rng(0), (10, 15))
    output_of("prepare", "context", tmp_path / "trainval_merged.json", "--data", tmp_path)
    (sample,) = pc.dataset("context60", tmp_path)
    assert sample.id == "2008_000002" and (sample.labels == expected).all()


def test_another_json_file_and_maps_without_names_are_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(DataError, match="a.json: not PASCAL Context's trainval_merged.json .KeyError"):
        prepare.context(tmp_path / "a.json", None, tmp_path)
    with pytest.raises(DataError, match="the .mat files need the list of names"):
        prepare.context(tmp_path, None, tmp_path)
