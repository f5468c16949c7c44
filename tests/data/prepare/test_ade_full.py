"""ADE847 from a miniature copy of the full ADE20K release."""

import os
import pickle

import numpy as np
import pytest
from command_line import output_of
from miniature import write_image
from PIL import Image
from scipy.io import savemat

import proxyclip as pc
from proxyclip.data import prepare, vocab
from proxyclip.data.protocol_card import card_of, published_card
from proxyclip.data.samples import DataError


def write_release(release, matlab, size=(40, 50)):
    """A release whose objects are the 847 classes in reverse order with others between them."""
    classes = vocab.load("ade847").names
    objects = [name for k, name in enumerate(reversed(classes)) for name in ([name, f"part {k}"] if k % 3 else [name])]
    release.mkdir()
    if matlab:
        savemat(release / "index_ade20k.mat", {"index": {"objectnames": np.array(objects, object)}})
    else:
        (release / "index_ade20k.pkl").write_bytes(pickle.dumps({"objectnames": objects, "filename": ["a"]}))
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, len(objects) + 1, size)
    colours = np.stack([numbers // 256 * 10, numbers % 256, rng.integers(0, 255, numbers.shape)], axis=2)
    for folder, part in (("training", "train"), ("validation", "val")):
        path = release / f"images/ADE/{folder}/urban/street/ADE_{part}_00000001"
        write_image(path.with_suffix(".jpg"), rng, size)
        Image.fromarray(colours.astype(np.uint8)).save(f"{path}_seg.png")
    return ["", *objects], numbers


@pytest.mark.parametrize("matlab", [False, True])
def test_ade847_is_read_by_the_names_of_the_index(matlab, tmp_path):
    objects, numbers = write_release(tmp_path / "release", matlab)
    done = prepare.ade847(tmp_path / "release", tmp_path / "data")
    assert [path.name for path in done.folder.iterdir()] == ["ADE_val_00000001.tif"]
    (sample,) = pc.dataset("ade847", tmp_path / "data")
    classes = {name: index for index, name in enumerate(vocab.load("ade847").names)}
    assert (sample.labels == np.vectorize(lambda n: classes.get(objects[n], -1))(numbers)).all()
    assert sample.image.size == (50, 40)


@pytest.mark.parametrize(("size", "reduced"), [((600, 1003), (512, 855)), ((700, 530), (676, 512)), ((512, 640), None)])
def test_larger_images_and_their_labels_are_reduced_to_a_short_side_of_512_unless_asked_not_to(size, reduced, tmp_path):
    write_release(tmp_path / "release", matlab=False, size=size)
    stored = next((tmp_path / "release").rglob("ADE_val_*.jpg"))
    full = prepare.ade847(tmp_path / "release", tmp_path / "full", full_size=True)
    (whole,) = pc.dataset("ade847", tmp_path / "full")
    assert next((tmp_path / "full").rglob("*.jpg")).read_bytes() == stored.read_bytes() and full.written == 1
    assert "changed: remark" in card_of(pc.dataset("ade847", tmp_path / "full")).name
    output_of("prepare", "ade847", tmp_path / "release", "--data", tmp_path / "data")
    (sample,) = pc.dataset("ade847", tmp_path / "data")
    assert sample.labels.shape == (reduced or size) == sample.image.size[::-1]
    nearest = Image.fromarray(whole.labels).resize(sample.image.size, Image.Resampling.NEAREST)
    assert (sample.labels == np.asarray(nearest)).all()
    bilinear = np.asarray(whole.image.resize(sample.image.size, Image.Resampling.BILINEAR)).astype(float)
    assert abs(bilinear - np.asarray(sample.image)).mean() < 2  # what a JPEG changes
    assert card_of(pc.dataset("ade847", tmp_path / "data")) == published_card("ade847")
    with pytest.raises(DataError, match="labels made from the release, reduced to a short side of 512; to make them"):
        prepare.ade847(tmp_path / "release", tmp_path / "data", full_size=True)


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
