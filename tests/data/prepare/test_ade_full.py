"""ADE847 from a miniature copy of the full ADE20K release."""

import os
import pickle

import numpy as np
import pytest
from miniature import write_image
from PIL import Image
from scipy.io import savemat

import proxyclip as pc
from proxyclip.data import prepare, vocab
from proxyclip.data.samples import DataError


def write_release(release, matlab):
    """A release whose objects are the 847 classes in reverse order with others between them."""
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
    for folder, part in (("training", "train"), ("validation", "val")):
        path = release / f"images/ADE/{folder}/urban/street/ADE_{part}_00000001"
        write_image(path.with_suffix(".jpg"), rng, (40, 50))
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
