"""Interrupted at every step: an evaluation that is continued has the counts of one that was left alone, bit for bit.

The steps are not listed by hand. A first run is traced and gives every place at which Python can be interrupted: each
instruction of the modules that count, and each call from anywhere else below them.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest
from miniature import write_tree
from small_model import compute_once, opened, small_model

import proxyclip as pc
from proxyclip.evaluation import counting, progress
from proxyclip.evaluation.counting import Options, count
from proxyclip.evaluation.evaluator import ByModel, under_protocol
from proxyclip.evaluation.progress import Tally
from proxyclip.evaluation.result import settings_of

RULES = [pc.Adaptive(), pc.HardMask(0.4), pc.ClipAttention("qq")]
#: Every instruction of these modules is a step, every line of what else the package runs.
COMMITTING = {counting.__file__, progress.__file__}
PACKAGE = str(Path(pc.__file__).parent)
Step = tuple[CodeType, int]


class Interrupted(BaseException):
    """Derived from BaseException, as KeyboardInterrupt and SystemExit are."""


@contextmanager
def at_every_step(act: Callable[[Step], None]) -> Iterator[None]:
    """Call a function before every step of :func:`counting._count_images` and of what it calls."""

    inside = [False]

    def trace(frame: FrameType, event: str, _: object) -> Callable | None:
        file = frame.f_code.co_filename
        if frame.f_code is counting._count_images.__code__:
            inside[0] = event != "return"
        if not inside[0] or not file.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = file in COMMITTING, file not in COMMITTING
        if event in ("opcode", "line"):
            act((frame.f_code, frame.f_lasti))
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


class Work:
    """A small evaluation that can be done again and again; embeddings are computed once."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.data = opened("voc20", write_tree("voc20", root))
        model = under_protocol(small_model(), self.data)
        compute_once(patch)
        self.settings = settings_of(model, self.data, RULES, "stop")
        self.method = ByModel(model, self.data, RULES, None)

    def count(self, folder: Path) -> Tally:
        return count(self.method, self.data, self.settings, Options(progress=folder, save_every=0))

    def steps(self, folder: Path) -> dict[Step, int]:
        """Every step, and how often an undisturbed run takes it."""
        seen: dict[Step, int] = {}
        with at_every_step(lambda step: seen.update({step: seen.get(step, 0) + 1})):
            self.count(folder)
        return seen


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    patch = pytest.MonkeyPatch()
    yield Work(tmp_path_factory.mktemp("voc"), patch)
    patch.undo()


def everything(tally: Tally) -> list[object]:
    """All counts of every kind, for a comparison bit for bit."""
    return [[confusion.counts.tolist() for confusion in tally.confusions], sorted(tally.done), tally.skipped,
            {name: counts.tolist() for name, counts in tally.geometry.counts.items()},
            {name: array.tolist() for name, array in tally.images.arrays().items()}]


def raising() -> None:
    raise Interrupted


def _signalled(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


#: One step of so many is tried, which takes seconds; ``PROXYCLIP_EVERY_STEP=1`` tries all, which takes minutes.
EVERY = 1 if os.environ.get("PROXYCLIP_EVERY_STEP") else 7


@pytest.mark.parametrize(("name", "fault", "every"), [
    ("exception", raising, EVERY), ("SIGINT", _signalled(signal.SIGINT), 4 * EVERY),
    ("SIGTERM", _signalled(signal.SIGTERM), 4 * EVERY)])
def test_interrupted_at_any_step_and_continued_equals_undisturbed(name, fault, every, work, tmp_path):
    whole = everything(work.count(tmp_path / "whole"))
    steps = list(work.steps(tmp_path / "traced").items())[::every]
    for number, (step, times) in enumerate(steps):
        folder, left = tmp_path / str(number), [min(2, times)]  # within the second image, where there is one

        def act(found: Step, step: Step = step, left: list[int] = left) -> None:
            if found == step:
                left[0] -= 1
                if not left[0]:
                    fault()

        with pytest.raises((Interrupted, KeyboardInterrupt, SystemExit)), at_every_step(act):
            work.count(folder)
        assert everything(work.count(folder)) == whole, f"{name} at {step[0].co_qualname}, instruction {step[1]}"
    print(f"{name}: stopped at each of {len(steps)} steps, continued, and all equal the undisturbed run")
