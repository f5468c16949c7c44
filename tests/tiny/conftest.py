"""A small scene cache, for every test of a training."""

import pytest

from proxyclip.tiny.training import cache as cache_module
from proxyclip.tiny.training.cache import SceneCache, write_shard


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setattr(cache_module, "SHARD", 16)
    write_shard(folder, 0, seed=77)
    yield SceneCache(folder)
    patch.undo()
