"""The cache of training scenes, and the crops that are cut from it."""

import numpy as np
import pytest
import torch

from training import cache as cache_module
from training.cache import SceneCache, fill, patch_labels


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD", 6)


def test_two_processes_write_the_shards_that_one_writes(tmp_path, small_shards):
    fill(tmp_path / "one", 10, workers=1)
    fill(tmp_path / "two", 10, workers=2)
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(names) == 6 and names == sorted(p.name for p in (tmp_path / "two").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(SceneCache(tmp_path / "two")) == 12


def test_a_full_cache_is_left_alone_and_a_missing_shard_is_added(tmp_path, small_shards):
    fill(tmp_path, 12, workers=1)
    kept, gone = tmp_path / "images-0000.npy", tmp_path / "images-0001.npy"
    before, content = kept.stat().st_mtime_ns, gone.read_bytes()
    gone.unlink()
    fill(tmp_path, 12, workers=1)
    assert kept.stat().st_mtime_ns == before and gone.read_bytes() == content


def test_a_crop_knows_what_it_covers(scenes):
    crops = scenes.objects(64, np.random.default_rng(1))
    assert crops.images.shape == (64, 3, 32, 32) and crops.images.min() >= 0 and crops.images.max() <= 1
    torch.testing.assert_close(crops.share.sum(1), torch.ones(64))
    counts = torch.stack([(crops.instances == k).flatten(1).float().mean(1) for k in range(8)], dim=1)
    torch.testing.assert_close(crops.share[:, :8], counts)


def test_a_patch_belongs_to_the_instance_that_covers_most_of_it():
    instances = torch.zeros(1, 8, 8, dtype=torch.long)
    instances[0, :4, :4] = 5
    instances[0, 4:, :2] = 3
    assert patch_labels(instances, 4).tolist() == [[5, 0, -1, 0]]
