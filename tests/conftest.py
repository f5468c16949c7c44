"""What every test may use, and one thread so that results do not depend on the machine."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

# Read when torch is imported, here and in the processes that tests start. A forked child could not use threads that
# OpenMP had started in its parent, and would wait for them.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait leave the core to other tests

if "PROXYCLIP_CACHE" not in os.environ:  # a test leaves nothing in the user's cache
    os.environ["PROXYCLIP_CACHE"] = tempfile.mkdtemp(prefix="proxyclip-tests-")
    atexit.register(shutil.rmtree, os.environ["PROXYCLIP_CACHE"], ignore_errors=True)

import pytest
from browser import Browser, executable
from filelock import FileLock

import proxyclip  # noqa: F401  (declares torchvision's schemas for tests that import open_clip or timm first)
from book.checkout import Layout
from proxyclip.models.weights import digests

# The networks are imported by those who need them: the process that distributes the tests does not.
if TYPE_CHECKING:
    from proxyclip.models.clip import DenseCLIP


@pytest.fixture(autouse=True, scope="session")
def own_digests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the digests of the first use out of the user's cache."""
    folder = tmp_path_factory.mktemp("digests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "first_uses", lambda: folder / "digests.json")
        yield


@pytest.fixture(scope="session")
def clip() -> DenseCLIP:
    from small_clip import small_clip

    return small_clip()


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The built book; the first test of the whole run that needs it builds what has changed.

    A process of its own builds it, as for a user, so that nothing that other tests left in this one can change a page.
    It is built once for all processes of a run: one that built it again would take the pages away from the others.
    """
    layout = Layout(Path(__file__).resolve().parent.parent)
    folder = tmp_path_factory.getbasetemp()  # of this run; under xdist each process has a folder of its own in it
    built = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "book-is-built"
    with FileLock(f"{built}.lock"):
        if not built.exists():
            done = subprocess.run([sys.executable, "-m", "book"], cwd=layout.root, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            built.touch()
    return layout


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium."""
    if executable() is None:
        pytest.skip("Chromium is not on PATH: the pages were not opened")
    with Browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-baselines", action="store_true",
                     help="write what the notebooks give to tests/baselines instead of comparing with it")
    parser.addoption("--chapter", default="", help="with --write-baselines: the letter of the only chapter to write")


#: The files that take longest, in this order. ``make test`` distributes whole files among its processes, so files that
#: take minutes must not start last.
LONGEST = ("test_build", "test_notebooks", "test_paper_profile", "test_commands", "test_installed", "test_progress",
           "test_arithmetic", "test_in_browser", "test_pretrain", "test_pipeline", "test_every_step", "test_engine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests; with ``--write-baselines``, run only those that write the baselines."""
    if config.getoption("--write-baselines"):
        only = f"test_the_numbers_of_a_notebook_are_those_of_its_baseline[{config.getoption('--chapter')}"
        items[:] = [item for item in items if item.name.startswith(only)]
        if not items:
            raise pytest.UsageError(f"no chapter {config.getoption('--chapter')}")
    rank = {name: number for number, name in enumerate(LONGEST)}
    # Files that read the book come last, when another process has already built it for ``test_build``.
    readers = {item.path for item in items if "layout" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST) + (item.path in readers)))


@pytest.fixture(scope="session")
def repository_root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory):
    """A cache of 16 scenes, for every test of a training, and few windows for the mean feature of a place."""
    from training import cache
    from training.objectives import pair_objective

    folder, patch = tmp_path_factory.mktemp("cache"), pytest.MonkeyPatch()
    patch.setattr(cache, "SHARD", 16)
    patch.setattr(pair_objective, "mean_by_place", partial(pair_objective.mean_by_place, windows=32))
    cache.write_shard(folder, 0, seed=77)
    yield cache.SceneCache(folder)
    patch.undo()
