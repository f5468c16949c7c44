"""Your own data: folders of images and label files are evaluated like a benchmark, and named where they do not fit."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
from command_line import exit_code, output_of
from miniature import write_image, write_tree
from PIL import Image

import proxyclip as pc
from proxyclip.data import folders
from proxyclip.data.inventory import check_set
from proxyclip.data.protocol_card import card_of
from proxyclip.data.samples import DataError
from proxyclip.diagnosis.engine import diagnose
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.parameters import ChapterError, ParameterError

SCENES = 2
WRITERS = {
    "png": lambda path, labels: Image.fromarray(labels.astype(np.uint8)).save(path.with_suffix(".png")),
    "palette": lambda path, labels: palette(labels).save(path.with_suffix(".png")),
    "16-bit png": lambda path, labels: Image.fromarray(labels.astype(np.uint16)).save(path.with_suffix(".png")),
    "tiff": lambda path, labels: Image.fromarray(labels.astype(np.uint16)).save(path.with_suffix(".tif")),
    "numpy": lambda path, labels: np.save(path.with_suffix(".npy"), labels),
}


def palette(labels: np.ndarray) -> Image.Image:
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette([(7 * value) % 256 for value in range(768)])
    return picture


def write_street(root: Path, kind: str = "png") -> Path:
    """``tiny/street`` as files: images as PNG, its labels in a kind of file, its classes as a list."""
    data = pc.dataset("tiny/street", length=SCENES)
    for folder in ("images/city", "labels/city"):
        (root / folder).mkdir(parents=True)
    for sample in data:
        sample.image.save(root / "images/city" / f"{sample.id}.PNG")
        WRITERS[kind](root / "labels/city" / sample.id, np.where(sample.labels < 0, 255, sample.labels))
    (root / "classes.txt").write_text("\n".join(data.vocabulary.plain()) + "\n")
    return root


def opened(root: Path, **options) -> folders.FolderDataset:
    return pc.folder_dataset(root / "images", root / "labels", root / "classes.txt", **options)


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return pc.load(vfm="tiny_sam")


@pytest.fixture(scope="module")
def direct(model):
    return pc.evaluate(model, pc.dataset("tiny/street", length=SCENES), ["adaptive", "qq"])


@pytest.mark.parametrize("kind", WRITERS)
def test_a_generated_set_is_read_from_files_of_every_kind_as_it_was(kind, tmp_path):
    own = opened(write_street(tmp_path, kind), short_side=None)
    for sample, stored in zip(pc.dataset("tiny/street", length=SCENES), own, strict=True):
        assert stored.id == f"city/{sample.id}" and np.array_equal(stored.image, sample.image)
        assert np.array_equal(stored.labels, sample.labels) and stored.labels.dtype == np.int32


def test_the_command_gives_the_same_numbers_to_the_last_digit(direct, tmp_path):
    root = write_street(tmp_path)
    paths = ["--images", root / "images", "--labels", root / "labels", "--classes", root / "classes.txt"]
    output_of("evaluate", *paths, "--vfm", "tiny_sam", "--rule", "adaptive", "--rule", "qq",
              "--short-side", "0", "--output", tmp_path / "own.json")
    result = json.loads((tmp_path / "own.json").read_text())
    assert [row["miou"] for row in result["scores"]] == direct.miou.tolist()
    assert result["card"]["name"] == "own" and len(result["card"]["sha256"]) == 64
    assert "2 of 2 images can be evaluated, 17 classes" in output_of("doctor", *paths)
    with pytest.raises(ValueError, match="needs --images, --labels and --classes; --classes is missing"):
        output_of("doctor", *paths[:4])


def test_windows_are_the_models_unless_they_are_given_and_every_option_changes_the_card(model, tmp_path):
    root = write_street(tmp_path)
    own = opened(root).with_windows(64, 32, 128)
    assert (own.protocol.window, own.protocol.stride, own.protocol.short_side) == (64, 32, 128)
    given = opened(root, stride=48, short_side=None)
    assert given.first(1).with_windows(64, 32, 128).protocol == given.with_windows(64, 32, 128).protocol
    assert (given.with_windows(64, 32, 128).protocol.stride, given.protocol.short_side) == (48, None)
    own.protocol = replace(own.protocol, stride=16)
    assert own.with_windows(64, 32, 128) is own, "what a user has changed is kept"
    others = [own, given, *(opened(root, **option) for option in (
        {"ignored": 254}, {"zero_ignored": True}, {"background": "sky; wall"}, {"prob_threshold": 0.5}))]
    assert len({card_of(other).sha256 for other in others}) == len(others)
    assert [card_of(other.first(1)) for other in others] == [card_of(other) for other in others]


def test_a_folder_with_a_class_list_is_opened_by_its_name_in_diagnose_and_chapters(model, direct, tmp_path, capsys):
    root = write_street(tmp_path / "my_set")
    (root / "dataset.yaml").write_text("short_side: null\n")
    data = pc.dataset("my_set", tmp_path)
    assert diagnose(model, data, settings=["stride"]).miou == pytest.approx(direct.miou[0], rel=1e-12)
    given = {"profile": "tiny", "vfm": "tiny_sam", "datasets": "[my_set]", "data": str(tmp_path),
             "output_dir": tmp_path / "runs"}
    run = Experiment("B", **given)
    (found,) = run.measure(["adaptive"]).values()
    assert found.frame().miou[0] == direct.miou[0]
    run.finish()
    for settings in ("short_side: null\n", "short_side: null\nignored: 254\n"):  # the same, and other labels
        (root / "dataset.yaml").write_text(settings)
        assert Experiment("B", **given) and ("was finished" in capsys.readouterr().out) == ("254" not in settings)
    for labels in (root / "labels").rglob("*.png"):
        Image.new("L", Image.open(labels).size, 254).save(labels)
    with pytest.raises(ChapterError, match="chapter B has nothing to score: the labels of my_set leave no pixel"):
        Experiment("B", **given).measure(["adaptive"])
    with pytest.raises(ParameterError, match="or a folder of your own below the parameter data, got 'other_set'"):
        Experiment("B", profile="tiny", datasets="[other_set]", data=str(tmp_path))
    for line in ("ignore: 0", "ignored: word", "prob_threshold: word", "background: [sky]"):
        (root / "dataset.yaml").write_text(line + "\n")
        with pytest.raises(DataError, match="dataset.yaml: .*; allowed are lines such as .ignored: 0."):
            pc.dataset("my_set", tmp_path)


def test_an_installed_package_may_offer_sets(monkeypatch, tmp_path):
    points = EntryPoints([EntryPoint("their_set", "test_folders:offered", folders.ENTRY_POINTS)])
    monkeypatch.setattr(folders, "entry_points", lambda **asked: points.select(**asked))
    write_street(tmp_path)
    assert len(pc.dataset("their_set", tmp_path)) == SCENES
    monkeypatch.delenv("PROXYCLIP_DATA", raising=False)
    for root in (None, tmp_path):
        with pytest.raises(DataError, match='no data set "another"; there are voc21'):
            pc.dataset("another", root)


def offered(root: Path) -> folders.FolderDataset:
    return opened(root)


@pytest.mark.parametrize("ignored", [{}, {"ignored": 9}])
def test_background_and_labels_that_begin_at_one(ignored, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    write_image(tmp_path / "images/a.jpg", np.random.default_rng(0), (2, 3))
    np.save(tmp_path / "labels/a.npy", np.array([[0, 1, 2], [ignored.get("ignored", 255), 2, 1]]))
    made = {"classes": ["cat", "dog"], **ignored}
    own = pc.folder_dataset(tmp_path / "images", tmp_path / "labels", background="sky; wall", **made)
    assert own.vocabulary.names == ("background", "cat", "dog") and own.vocabulary.queries[:2] == ("sky", "wall")
    assert own[0].labels.tolist() == [[0, 1, 2], [-1, 2, 1]]
    own = pc.folder_dataset(tmp_path / "images", tmp_path / "labels", zero_ignored=True, **made)
    assert own[0].labels.tolist() == [[-1, 0, 1], [-1, 1, 0]]


@pytest.mark.parametrize(("options", "sentence"), [
    ({"name": "voc21"}, "name must not be that of a benchmark, got 'voc21'"),
    ({"ignored": 3}, "ignored must be a value that is no class, got 3, which is the class 'wood'"),
    ({"prob_threshold": 20}, "prob_threshold must lie in"),
    ({"ignored": 3, "zero_ignored": True}, "got 3, which is the class 'bricks'"),
    ({"background": "sky", "zero_ignored": True}, "background and zero_ignored exclude each other"),
])
def test_options_that_contradict_each_other_are_refused(options, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        opened(write_street(tmp_path), **options)


def test_the_doctor_finds_what_would_stop_an_evaluation(tmp_path, monkeypatch, capsys):
    root = write_street(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a_lonely", "b_small", "c_beyond", "d_colour", "f_objects", "g_deep"):
        write_image(root / f"images/{name}.jpg", rng)
    np.save(root / "labels/b_small.npy", np.zeros((3, 4), int))
    np.save(root / "labels/c_beyond.npy", np.full((44, 58), 90))
    write_image(root / "labels/d_colour.png", rng)
    np.save(root / "labels/e_nothing.npy", np.zeros((3, 4), int))
    np.save(root / "labels/f_objects.npy", np.array([[{}]], object), allow_pickle=True)  # pickles, which may run code
    np.save(root / "labels/g_deep.npy", np.zeros((44, 58, 2), int))
    data = opened(root)
    found = check_set(data)
    assert found.images == SCENES and len(found.problems) == 7
    scenes = pc.dataset("tiny/street", length=SCENES)
    counted = sum(np.bincount(sample.labels.ravel(), minlength=17) for sample in scenes)
    assert found.pixels.tolist() == counted.tolist() and len(found.absent) == (counted == 0).sum()
    paths = ["--images", root / "images", "--labels", root / "labels", "--classes", root / "classes.txt"]
    assert exit_code(monkeypatch, "doctor", *paths) == 1
    printed = capsys.readouterr().out
    for sentence in ("a_lonely.jpg: has no labels", "4 x 3 pixels, but its image", "label 90 at row 0, column 0",
                     "d_colour.png: mode RGB", "e_nothing.npy: has no image", "Object arrays cannot be loaded",
                     "shape (44, 58, 2) and int64; allowed are", "classes that never occur", "not ready"):
        assert sentence in printed


def test_photos_that_a_viewer_rotates_are_read_as_stored_and_both_commands_say_so(model, tmp_path):
    root = write_street(tmp_path)
    assert opened(root).notes() == []
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: image and labels have one size either way
    photo = next((root / "images").rglob("*.PNG"))
    Image.open(photo).save(photo, exif=exif)
    (root / "images" / "damaged.png").write_bytes(b"no image")
    said = f"own: the EXIF data of 1 images ask a viewer to rotate them, such as {photo}; images and labels are read as"
    assert said in pc.evaluate(model, opened(root), on_error="skip").attrs["notes"][0]
    (root / "images" / "damaged.png").unlink()
    paths = ["--images", root / "images", "--labels", root / "labels", "--classes", root / "classes.txt"]
    assert said in output_of("doctor", *paths)


def test_names_that_do_not_match_are_explained(tmp_path):
    root = write_street(tmp_path)
    for path in (root / "labels/city").iterdir():
        path.rename(path.with_name(f"{path.stem}_gt.png"))
    with pytest.raises(DataError, match="no image has a label file of the same name; there are .*PNG and .*_gt.png"):
        opened(root)
    write_image(root / "images/x.png", np.random.default_rng(0))
    write_image(root / "images/x.jpg", np.random.default_rng(0))
    with pytest.raises(DataError, match="x.(png|jpg) and x.(png|jpg) have the same name but for their endings"):
        opened(root)


# ------------------------------------------------------------------------------------- folders and lists of benchmarks


def test_a_list_with_two_columns_and_names_with_spaces_are_read(tmp_path):
    root = write_tree("voc21", tmp_path)
    split = root / "ImageSets/Segmentation/val.txt"
    split.write_text("a_0001 1\na_0002 -1\n")
    assert [sample.id for sample in pc.dataset("voc21", root)] == ["a_0001", "a_0002"]
    for folder, ending in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
        for name in ("a_0001", "a_0002"):
            (root / folder / f"{name}{ending}").rename(root / folder / f"my {name}{ending}")
    split.write_text("my a_0001\n\nmy a_0002\nmy a_0009\n")
    data = pc.dataset("voc21", root)
    assert [data.sample_id(index) for index in range(3)] == ["my a_0001", "my a_0002", "my a_0009"]
    (missing,) = data.problems().values()
    assert "my a_0009.jpg: missing, though line 4 of" in str(missing)


@pytest.mark.parametrize("line", ["/etc/passwd", "../a_0001", "a\0b"])
def test_a_list_leads_to_no_file_outside_the_set(line, tmp_path):
    root = write_tree("voc21", tmp_path)
    (root / "ImageSets/Segmentation/val.txt").write_text(f"a_0001\n{line}\n")
    with pytest.raises(DataError, match="val.txt, line 2: .* is no name below the folder of the images"):
        pc.dataset("voc21", root)


def test_a_name_longer_than_a_file_can_have_is_a_missing_image(tmp_path):
    root = write_tree("voc21", tmp_path)
    (root / "ImageSets/Segmentation/val.txt").write_text("a" * 5000 + "\n")
    (problem,) = pc.dataset("voc21", root).problems().values()
    assert "missing, though line 1" in str(problem)


def test_hidden_files_beside_images_are_no_samples(tmp_path):
    root = write_tree("ade150", tmp_path)
    (root / "images/validation/._a_0001.jpg").write_bytes(b"\0\5\x16\7")
    assert len(pc.dataset("ade150", root)) == 3


def test_a_number_of_scenes_that_no_machine_can_count_is_refused():
    with pytest.raises(DataError, match="length must be a number of scenes from 1 to 1,000,000, got 1000000000000000"):
        pc.dataset("tiny/voc", length=10**30)
