"""A fault at every step of an evaluation, a chapter and a segmentation: nothing is lost, and a second run is right.

The steps are not listed by hand: a first run is watched, and every function of the package that it calls, every write
and every file that it leaves behind is a step. At each of them the run meets a fault; then it is done again. What it
leaves in the end is compared with an undisturbed run. ``pytest -s`` shows the table.

Of the steps one in a few is tried, which takes seconds; ``PROXYCLIP_EVERY_STEP=1`` tries all, which takes minutes.
"""

import errno
import io
import json
import os
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from miniature import write_tree
from PIL import Image
from small_model import compute_once, opened, small_model

import proxyclip as pc
from proxyclip.cli.photo_commands import Labeller, _segment_all
from proxyclip.evaluation.evaluator import run
from proxyclip.evaluation.progress import Progress
from proxyclip.supplement.chapter_models import ChapterModels
from proxyclip.supplement.experiment import Experiment
from proxyclip.supplement.result_files import load

PACKAGE = str(Path(pc.__file__).parent)
ALL = bool(os.environ.get("PROXYCLIP_EVERY_STEP"))
#: About how many steps of each activity meet each fault.
TRIED = 4

Activity = Callable[[Path], None]
Act = Callable[[Any], None]


class Injected(RuntimeError):
    """The fault that is injected as an exception."""


def evaluating(data: pc.data.base.Dataset, model: pc.ProxyCLIP) -> Activity:
    """What ``proxyclip evaluate --save-predictions`` does."""
    def evaluate(folder: Path) -> None:
        rules = ["adaptive", "qq"]
        found = run(model, data, rules, progress=folder / "progress", save_every=0, predictions=folder / "labels")
        found.save(folder / "result.json")
        Progress(folder / "progress", found.settings).remove()

    return evaluate


def chapter(folder: Path) -> None:
    """What the notebook of a chapter does: parameters, a table of its own, the scores, the verdicts."""
    experiment = Experiment("D", profile="tiny", vfm="tiny_dino", datasets="tiny/voc", limit=2, alphas="[0.4]",
                            output_dir=str(folder))
    experiment.once("counts", lambda: pd.DataFrame({"value": [1.5, 2.5]}))
    experiment.measure(["hard:0.4", "adaptive"])
    experiment.finish()


def segmenting(image: np.ndarray, model: pc.ProxyCLIP) -> Activity:
    """What ``proxyclip segment`` does."""
    def segment(folder: Path) -> None:
        model.segment(image, ["sky", "tree; bush", "road"]).save(folder / "photo.png")

    return segment


def segmenting_a_folder(image: np.ndarray, model: pc.ProxyCLIP) -> Activity:
    """What ``proxyclip segment`` does with several photos, all of them the same."""
    labeller = Labeller(model, model.encode_classes(["sky", "tree; bush", "road"]), pc.Adaptive(), None, None)

    def segment(folder: Path) -> None:
        photos = [folder / f"photo{number}.bmp" for number in range(2)]
        for photo in photos:
            Image.fromarray(image).save(photo)
        with redirect_stdout(io.StringIO()):
            _segment_all(labeller, photos, [folder / f"out{number}.png" for number in range(2)], force=False)

    return segment


@pytest.fixture(scope="module")
def activities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Activity]]:
    """The activities, with models that are loaded once and embeddings that are computed once."""
    patch = pytest.MonkeyPatch()
    data, small = opened("voc20", write_tree("voc20", tmp_path_factory.mktemp("voc"))), small_model()
    tiny = pc.load(vfm="tiny_dino")
    compute_once(patch)
    patch.setattr(ChapterModels, "with_vfm", lambda self, vfm: self._loaded.setdefault(vfm, tiny))
    patch.setattr(ChapterModels, "digests", lambda self: {tiny.clip.name: "0"})
    found = {"evaluate": evaluating(data, small), "chapter": chapter,
             "segment": segmenting(np.array(data[0].image), small),
             "segment a folder": segmenting_a_folder(np.array(data[0].image), small)}
    for activity in found.values():  # what is computed only once is no step
        activity(tmp_path_factory.mktemp("first"))
    yield found
    patch.undo()


# --------------------------------------------------------------------------------------------------- steps and faults


@contextmanager
def watching(act: Act) -> Iterator[None]:
    """Call a function with the code of each function of the package that is called."""
    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            act(frame.f_code)

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def _guarded(original: Callable, act: Act) -> Callable:
    def guarded(*given: Any, **named: Any) -> Any:
        act(original)
        return original(*given, **named)

    return guarded


@contextmanager
def writing(act: Act) -> Iterator[None]:
    """Call a function before each system call with which an atomic write begins, fills and ends a file."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((tempfile, "mkstemp"), (os, "fsync"), (os, "replace")):
            patch.setattr(module, name, _guarded(getattr(module, name), act))
        yield


def raises() -> None:
    raise Injected("an injected exception")


def full_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FAULTS: dict[str, tuple[Callable[[Act], Any], Callable[[], None]]] = {
    "exception": (watching, raises),
    "Ctrl-C": (watching, lambda: os.kill(os.getpid(), signal.SIGINT)),
    "full disk": (writing, full_disk),
}


def steps_of(activity: Activity, folder: Path, watch: Callable[[Act], Any]) -> list[Any]:
    """Each step of an undisturbed run once; writes, which happen again and again, by their number."""
    seen: Counter[Any] = Counter()
    with watch(lambda step: seen.update([step])):
        activity(folder)
    return list(seen) if watch is watching else list(range(1, seen.total() + 1))


def new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def disturbed(activity: Activity, folder: Path, watch: Callable[[Act], Any], step: Any, fault: Callable) -> bool:
    """Run an activity that meets a fault at a step; whether the fault stopped it."""
    count = [0]

    def act(found: Any) -> None:
        count[0] += 1
        if found is step if isinstance(step, CodeType) else count[0] >= step:  # a disk that is full stays full
            if isinstance(step, CodeType):
                sys.setprofile(None)
            fault()

    try:
        with watch(act):
            activity(folder)
    except (Injected, KeyboardInterrupt, OSError, ValueError):
        return True
    return False


def left_by(folder: Path) -> dict[str, object]:
    """What an activity leaves, without times and without what was set aside."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".damaged"):
        name = path.relative_to(folder).as_posix()
        if name == "D.json":
            result = load(path)
            found[name] = result.records, result.verdicts
        elif ".progress" in name or name.startswith("progress"):
            found[name.rpartition("/")[0]] = "in progress"
        elif path.suffix == ".json":
            content = json.loads(path.read_text())
            found[name] = {key: value for key, value in content.items() if key not in ("seconds", "date", "checksum")}
        else:
            found[name] = path.read_bytes().replace(str(folder).encode(), b"")  # a table names the photos
    return found


TABLE: list[dict[str, object]] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print("\n" + pd.DataFrame(TABLE).to_string(index=False))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["evaluate", "chapter", "segment"])
def test_after_a_fault_at_any_step_a_second_run_leaves_what_an_undisturbed_one_does(
    name: str, fault: str, activities: dict[str, Activity], tmp_path: Path
) -> None:
    activity, (watch, strike) = activities[name], FAULTS[fault]
    steps, expected = steps_of(activity, new(tmp_path / "whole"), watch), left_by(tmp_path / "whole")
    if not ALL:
        steps = steps[len(steps) // 4 :: max(1, len(steps) // TRIED)]
    stopped = 0
    for number, step in enumerate(steps):
        folder = new(tmp_path / str(number))
        stopped += disturbed(activity, folder, watch, step, strike)
        where = getattr(step, "co_qualname", f"write {step}")
        assert not list(folder.rglob("*.partial*")), f"{fault} at {where} leaves half a file"
        activity(folder)
        assert left_by(folder) == expected, f"{fault} at {where}"
    TABLE.append({"activity": name, "fault": fault, "steps": len(steps), "stopped": stopped, "then equal": len(steps)})
    assert stopped


@pytest.mark.parametrize("name", ["evaluate", "chapter", "segment a folder"])
@pytest.mark.parametrize("damage", ["empty", "cut", "changed"])
def test_after_damage_to_any_file_of_an_interrupted_run_a_second_run_is_right(
    name: str, damage: str, activities: dict[str, Activity], tmp_path: Path
) -> None:
    activity = activities[name]
    steps, expected = steps_of(activity, new(tmp_path / "whole"), watching), left_by(tmp_path / "whole")
    last = {"evaluate": "Evaluation.save", "chapter": "Experiment.finish", "segment a folder": "write_text"}[name]
    stop = next(code for code in steps if code.co_qualname == last)
    disturbed(activity, new(tmp_path / "names"), watching, stop, raises)
    files = _own_files(tmp_path / "names")
    for number in range(len(files)):
        folder = new(tmp_path / str(number))
        disturbed(activity, folder, watching, stop, raises)
        path = _own_files(folder)[number]
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes({"empty": b"", "cut": content[:middle],
                          "changed": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]}[damage])
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            activity(folder)
        assert left_by(folder) == expected, f"{path.name} {damage}"
    TABLE.append({"activity": name, "fault": f"file {damage}", "steps": len(files), "stopped": 0,
                  "then equal": len(files)})
    assert files


def _own_files(folder: Path) -> list[Path]:
    """What an activity has written, without the photos that it reads."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".npz", ".png"))
