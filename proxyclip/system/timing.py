"""Measure seconds, bytes and the machine's rate of matrix products."""

import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated calls."""

    seconds: tuple[float, ...]  #: One per call, in order; calls before the measurement (warm-up) are not among them.

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile: the spread that goes with the median."""
        low, high = np.percentile(self.seconds, (25, 75))
        return float(low), float(high)


def synchronise(device: str | torch.device) -> None:
    """Wait until a GPU has finished its work; the CPU never lags behind."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[Callable[[], float]]:
    """Run on this many threads of the CPU (None keeps torch's setting), and get the appropriate clock.

    That is ``time.thread_time`` for one thread, which does not count the time in which other programs used the core,
    and the wall clock otherwise.
    """
    if count is not None and count < 1:
        raise ValueError(f"threads must be at least 1, got {count}")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count or before)
        yield time.thread_time if count == 1 else time.perf_counter
    finally:
        torch.set_num_threads(before)


def compare(
    functions: Mapping[str, Callable[[], object]], device: str | torch.device = "cpu", repeats: int = 5,
    warmup: int = 1, clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time several functions in turns, so that other load on the machine affects all of them equally.

    They are called without arguments under ``torch.inference_mode``, and the device is synchronised before and after
    every call: ``repeats`` timed rounds after ``warmup`` others, in the seconds of a clock (:func:`cpu_threads`).
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be at least 1 and warmup at least 0, got {repeats} and {warmup}")
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    with torch.inference_mode():
        for turn in range(warmup + repeats):
            for name, function in functions.items():
                synchronise(device)
                start = clock()
                function()
                synchronise(device)
                if turn >= warmup:
                    seconds[name].append(clock() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def timed(function: Callable[[], object], device: str | torch.device = "cpu", **options: Any) -> Timing:
    """Time one function; options as for :func:`compare`."""
    return compare({"": function}, device, **options)[""]


def _held_by(values: Any) -> Iterator[tuple[object, int]]:
    """What holds the numbers of each tensor, and its bytes: a storage, or the tensor where oneDNN arranges them."""
    for leaf in tree_leaves(values):
        if isinstance(leaf, torch.Tensor):
            storage = None if leaf.is_mkldnn else leaf.untyped_storage()
            yield (leaf, leaf.numel() * leaf.element_size()) if storage is None else (storage, storage.nbytes())


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of live tensors that were made inside it, and their maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(held) for held, _ in _held_by((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for held, size in _held_by(result):
            if id(held) not in given and id(held) not in self._seen:
                self._made(held, size)
        return result

    def _made(self, held: object, size: int) -> None:
        self._seen.add(id(held))
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(held, self._freed, id(held), size)

    def _freed(self, identity: int, size: int) -> None:
        self._seen.discard(identity)
        self.live -= size


def extra_memory(function: Callable[[], object], device: str | torch.device = "cpu") -> int:
    """Most bytes of tensors that a call, under inference mode, holds at once beyond those that existed before it.

    On a GPU the number comes from the allocator. Elsewhere every tensor that an operator returns is tracked while it is
    alive; scratch space inside an operator is not counted.
    """
    device = torch.device(device)
    if device.type == "cuda":
        synchronise(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        with torch.inference_mode():
            function()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.inference_mode(), _LiveTensors() as tensors:
        function()
    return tensors.peak


def matmul_rate(
    device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Multiply-accumulates per second of one product of square matrices: an upper bound for real models.

    Matrices of 1024 x 1024 give the rate of larger ones on a CPU; elsewhere they are of 2048 x 2048.
    """
    side = 1024 if torch.device(device).type == "cpu" else 2048
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return side**3 / min(timed(lambda: left @ right, device, repeats=7, warmup=2, clock=clock).seconds)
