"""Interrupted, continued, shared: the counts are those of one undisturbed process."""

import json
import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import launch
import numpy as np
import pytest
from launch import FORK
from miniature import write_tree
from small_model import small_model

import proxyclip as pc
from proxyclip.data.benchmark_files import BenchmarkDataset
from proxyclip.evaluation.evaluator import run
from proxyclip.evaluation.progress import Progress
from proxyclip.evaluation.result import Evaluation
from proxyclip.evaluation.workers import WorkerLost, Workers, joined

RULES = ["adaptive", "qq"]


class Slow(BenchmarkDataset):
    """A set whose samples take a while, so that a process can be interrupted in the middle."""

    pause = 0.03

    def __getitem__(self, index):
        time.sleep(self.pause)
        return super().__getitem__(index)


def opened(root: Path, copies: int = 12) -> Slow:
    """A small VOC in which the three images occur several times under names of their own."""
    if not root.exists():
        write_tree("voc20", root)
        names = []
        for copy in range(copies):
            for name in ("a_0001", "a_0002", "b_0003"):
                names.append(f"{name}_{copy}")
                for folder, suffix in (("JPEGImages", ".jpg"), ("SegmentationClass", ".png")):
                    shutil.copy(root / folder / f"{name}{suffix}", root / folder / f"{names[-1]}{suffix}")
        (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(names) + "\n")
    data = Slow(pc.dataset("voc20", root).benchmark, root)
    data.protocol = replace(data.protocol, short_side=32, window=32, stride=16)
    return data


def assert_same(first: Evaluation, second: Evaluation) -> None:
    assert first.images == second.images
    for a, b in zip(first.tally.confusions, second.tally.confusions, strict=True):
        assert np.array_equal(a.counts, b.counts)


def assert_equal_files(first: dict, second: dict) -> None:
    of_the_run = {"seconds", "date", "checksum"}
    assert first.keys() == second.keys() > of_the_run
    assert all(first[name] == second[name] for name in first.keys() - of_the_run)


def _evaluate(root: Path, progress: Path) -> None:
    run(small_model(), opened(root), RULES, progress=progress, save_every=0)


def _counted(saved: Progress) -> int:
    return sum(len(tally.done) for tally in saved.load(len(RULES), 20).values())


def _kill_after(saved: Progress, images: int, seconds: float, root: Path) -> None:
    """Start an evaluation and kill it this long after so many images are counted in all."""
    child = FORK.Process(target=_evaluate, args=(root, saved.root))
    child.start()
    while _counted(saved) < images:
        assert child.is_alive()
        time.sleep(0.005)
    time.sleep(seconds)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL


def test_an_evaluation_killed_five_times_ends_with_the_same_counts(tmp_path):
    data, progress = opened(tmp_path / "voc"), tmp_path / "progress"
    undisturbed = run(small_model(), data, RULES)
    saved = Progress(progress, undisturbed.settings)
    moments = random.Random(0)
    counted = [0]
    for _ in range(5):
        _kill_after(saved, counted[-1] + moments.randint(1, 3), moments.uniform(0, 0.05), tmp_path / "voc")
        counted.append(_counted(saved))
    assert counted == sorted(counted) and counted[-1] < len(data)
    seen = []
    watched = {"__getitem__": lambda self, index: seen.append(index) or Slow.__getitem__(self, index)}
    data.__class__ = type("Watched", (Slow,), watched)
    assert_same(run(small_model(), data, RULES, progress=progress), undisturbed)
    assert len(seen) == len(data) - counted[-1]  # nothing that was saved is done again


def test_a_changed_setting_starts_again_and_says_so(tmp_path, capsys):
    data, progress = opened(tmp_path / "voc", copies=1), tmp_path / "progress"
    run(small_model(), data, RULES, progress=progress, show=True)
    said = capsys.readouterr().err
    assert said.startswith("\rvoc20:") and "3/3" in said and "continuing" not in said, "nothing but the progress"
    run(small_model(), data, RULES, progress=progress, show=True)
    assert "continuing: 3 images are counted already" in capsys.readouterr().err
    run(small_model(), data, RULES, progress=progress)
    assert not capsys.readouterr().err
    run(small_model(seed=1), data, ["adaptive"], progress=progress, show=True)
    said = capsys.readouterr().err
    assert ("was made with other settings (clip, rules, vfm); starting again" in said and "continuing" not in said)


@pytest.mark.parametrize("what", [
    "weights", "rules", "JPEGImages/a_0001_0.jpg", "SegmentationClass/a_0001_0.png", "protocol", "vocabulary", "limit",
    "on_error",
])
def test_progress_is_kept_apart_by_everything_that_changes_the_result(what, tmp_path):
    data = opened(tmp_path / "voc", copies=1)
    model, rules, options = small_model(), RULES, {}
    before = run(model, data, rules).settings
    assert run(small_model(), opened(tmp_path / "voc"), rules).settings == before
    if what == "weights":
        model.vfm.backbone.norm.weight.data[0] += 1e-6
    elif what == "rules":
        rules = ["adaptive:1.2,3.5", "qq"]
    elif "/" in what:
        (data.root / what).write_bytes((data.root / what).read_bytes() + b"\0")
    elif what == "protocol":
        data.protocol = replace(data.protocol, stride=8)
    elif what == "vocabulary":
        data.vocabulary = replace(data.vocabulary, queries=("plane", *data.vocabulary.queries[1:]))
    else:
        options = {"limit": 2} if what == "limit" else {"on_error": "skip"}
    after = run(model, data, rules, **options).settings
    assert Progress(tmp_path, before).key != Progress(tmp_path, after).key


def test_two_runs_cannot_work_on_the_same_progress(tmp_path):
    data = opened(tmp_path / "voc", copies=1)
    held = Progress(tmp_path / "progress", run(small_model(), data, RULES).settings)
    with held.locked(), pytest.raises(ValueError, match="another run is working on this evaluation"):
        run(small_model(), data, RULES, progress=tmp_path / "progress")
    run(small_model(), data, RULES, progress=tmp_path / "progress")


# ------------------------------------------------------------------------------------------ several processes


def _worker(rank: int, port: int, target, *arguments) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    target(*arguments)


def _start(target, *arguments) -> list:
    port = launch.free_port()
    children = [FORK.Process(target=_worker, args=(rank, port, target, *arguments)) for rank in range(2)]
    for child in children:
        child.start()
    return children


def _finish(children: list) -> None:
    for child in children:
        child.join(120)
        assert child.exitcode == 0


def _evaluate_together(root: Path, output: Path, progress: Path | None = None) -> None:
    with joined("cpu", idle_limit=30) as workers:
        result = run(small_model(), opened(root), RULES, workers=workers, progress=progress, save_every=0)
        if workers.rank == 0:
            result.save(output)


def test_a_run_of_one_process_is_continued_by_two(tmp_path):
    data, progress = opened(tmp_path / "voc"), tmp_path / "progress"
    undisturbed = run(small_model(), data, RULES)
    _kill_after(Progress(progress, undisturbed.settings), 4, 0.0, tmp_path / "voc")
    _finish(_start(_evaluate_together, tmp_path / "voc", tmp_path / "result.json", progress))
    undisturbed.save(tmp_path / "alone.json")
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "result"))
    assert_equal_files(first, second)


def _exchange(folder: Path) -> None:
    with joined("cpu", idle_limit=30) as workers:
        content = bytes([workers.rank]) * (workers.rank * 9_000_000)
        for _ in range(2):
            assert workers.gather(content) == [b"", b"\1" * 9_000_000]
        assert workers.gather({"rank": workers.rank}) == [{"rank": 0}, {"rank": 1}]
        (folder / str(workers.rank)).touch()


def test_processes_exchange_contents_of_any_size_again_and_again(tmp_path):
    _finish(_start(_exchange, tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def _gather_alone(workers: Workers, _: Path) -> None:
    workers.gather("something") if workers.rank == 0 else time.sleep(3600)


def _evaluate_with_a_slow_worker(workers: Workers, root: Path) -> None:
    Slow.pause = 3600 * workers.rank
    run(small_model(), opened(root), RULES, limit=4, workers=workers)


def _until_a_worker_is_lost(work, seconds: float, folder: Path) -> None:
    try:
        with joined("cpu", idle_limit=seconds) as workers:
            work(workers, folder / "voc")
    except WorkerLost as error:
        (folder / "said.txt").write_text(str(error))
        os._exit(3)


@pytest.mark.parametrize(("work", "seconds", "sentence"), [
    (_gather_alone, 1, "worker 0 of 2 got no answer from the others within 1 s"),
    (_evaluate_with_a_slow_worker, 2, "worker 1 of 2 has finished no image for 2 s"),
])
def test_a_worker_that_stops_answering_ends_the_run_in_bounded_time(work, seconds, sentence, tmp_path):
    opened(tmp_path / "voc")
    first, second = _start(_until_a_worker_is_lost, work, seconds, tmp_path)
    first.join(30)
    assert first.exitcode == 3
    second.kill()
    second.join()
    assert sentence in (tmp_path / "said.txt").read_text()


@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun_with_two_processes_equals_one(tmp_path, nodes):
    command = ["evaluate", "--dataset", "tiny/voc20", "--vfm", "tiny_dino", "--clip-weights", "random",
               "--vfm-weights", "random", "--rule", "adaptive", "--rule", "qk", "--limit", "3"]
    launch.command([*command, "--output", str(tmp_path / "one.json")])
    port, two = launch.free_port(), [*command, "--output", str(tmp_path / "two.json")]
    launchers = [FORK.Process(target=launch.launch, args=(nodes, port, two)) for _ in range(nodes)]
    for launcher in launchers:
        launcher.start()
    _finish(launchers)
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert_equal_files(one, two)
    names = ["one.counts.npz", "one.json", "two.counts.npz", "two.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


# ------------------------------------------------------------------------------------------------ own state, damaged


def test_damaged_settings_do_not_stop_a_run(tmp_path):
    data, progress = opened(tmp_path / "voc", copies=1), tmp_path / "progress"
    whole = run(small_model(), data, RULES, progress=progress)
    (settings,) = progress.rglob("settings.json")
    settings.parent.rename(progress / "another")
    (progress / "another" / "settings.json").write_text("{")
    with pytest.warns(UserWarning, match=r"settings.json is damaged: .*; set aside as settings.json.damaged"):
        assert_same(run(small_model(), data, RULES, progress=progress), whole)


def test_a_lock_that_is_a_link_is_refused_and_its_target_kept(tmp_path):
    data = opened(tmp_path / "voc", copies=1)
    saved = Progress(tmp_path / "progress", run(small_model(), data, RULES).settings)
    saved.root.mkdir()
    (tmp_path / "precious.txt").write_text("kept")
    (saved.root / f"{saved.key}.lock").symlink_to(tmp_path / "precious.txt")
    with pytest.raises(ValueError, match="is a symbolic link, which a lock does not follow"):
        run(small_model(), data, RULES, progress=saved.root)
    assert (tmp_path / "precious.txt").read_text() == "kept"
