"""The cache of training scenes: it does not depend on the number of processes that write it."""

import pytest

from proxyclip.system.parallel import parallel_map
from proxyclip.tiny.training import cache as cache_module
from proxyclip.tiny.training.cache import SceneCache, fill


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


def _halve(number: int) -> float:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number / 2


def test_every_job_is_done_once_and_a_failure_is_not_swallowed():
    assert dict(parallel_map(_halve, [4, 6, 8], workers=1)) == {4: 2, 6: 3, 8: 4}
    with pytest.raises(ValueError, match="-1 is negative"):
        list(parallel_map(_halve, [4, -1], workers=1))
