"""What the benchmarks share: their options, how ways to the same numbers are compared, and clocks inside a run."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch

from proxyclip.efficiency import paper_dtype
from proxyclip.segment import ProxyCLIP
from proxyclip.system.devices import check_dtype
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import compare, cpu_threads, extra_memory


def parser(description: str | None, repeats: int | None) -> argparse.ArgumentParser:
    """A parser of the options that the benchmarks share; None for those that measure once."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cpu")
    made.add_argument("--dtype", help="of the networks; float16 on a GPU and float32 elsewhere if not given")
    if repeats is not None:
        made.add_argument("--repeats", type=int, default=repeats)
    made.add_argument("--threads", type=int, help="1 measures the time of one core by its own clock")
    return made


def in_dtype(model: ProxyCLIP, dtype: torch.dtype) -> ProxyCLIP:
    """The same weights in another format."""
    vfm = None if model.vfm is None else deepcopy(model.vfm).to(dtype)
    return replace(model, clip=deepcopy(model.clip).to(dtype), vfm=vfm, dtype=dtype)


def precision(options: argparse.Namespace) -> torch.dtype:
    """The given precision; half on a GPU and single elsewhere if none is."""
    return check_dtype(options.dtype or paper_dtype(options.device), options.device)


def compared(
    ways: Mapping[str, Callable[[], torch.Tensor]], options: argparse.Namespace, settings: Mapping[str, Any],
    per: str = "", count: int = 1, memory: bool = False, warmup: int = 1, of: str = "",
) -> dict[str, Any]:
    """Run ways to the same tensor in turns and report their times and how far their results are apart.

    One way is called "package" and one "plain". The report begins with the settings; seconds are divided by ``count``
    and reported as "seconds" and ``per``, and ``of`` says what was compared. With ``memory`` that beyond inputs and
    weights is measured too; ``warmup`` rounds come before those that are timed.
    """
    with cpu_threads(options.threads) as clock, torch.inference_mode():
        expected = ways["package"]()
        difference = max((way() - expected).abs().max().item() for way in ways.values())
        held = {name: extra_memory(way, options.device) / 2**20 for name, way in ways.items()} if memory else {}
        timings = compare(ways, options.device, options.repeats, warmup, clock)
    report = {"device": device_line(), **settings}
    if memory:
        report["MiB"] = {name: round(value, 1) for name, value in held.items()}
        report["share of the plain memory"] = round(held["package"] / held["plain"], 4)
    seconds = {name: timing.median / count for name, timing in timings.items()}
    report["seconds" + per] = {name: round(value, 4) for name, value in seconds.items()}
    report["times as fast"] = {name: round(value / seconds["package"], 2) for name, value in seconds.items()}
    if len(ways) == 2:
        report["times as fast"] = report["times as fast"]["plain"]
    return {**report, "largest difference" + of: difference}


@contextmanager
def clocked(
    places: Iterable[tuple[Any, str, str]], clock: Callable[[], float] = time.thread_time
) -> Iterator[dict[str, float]]:
    """Seconds that calls take, by what they are for; ``places`` are owners, names of their functions, and that word."""
    spent: dict[str, float] = defaultdict(float)

    def timed(function: Callable[..., Any], word: str) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            start = clock()
            try:
                return function(*given, **options)
            finally:
                spent[word] += clock() - start

        return call

    with ExitStack() as stack:
        for owner, name, word in places:
            stack.enter_context(patch.object(owner, name, timed(getattr(owner, name), word)))
        yield spent
