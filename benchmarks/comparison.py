"""What the benchmarks share: their options, and how ways to the same numbers are compared."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import torch

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


def precision(options: argparse.Namespace) -> torch.dtype:
    """The given precision; half on a GPU and single elsewhere if none is."""
    default = "float16" if torch.device(options.device).type == "cuda" else "float32"
    return check_dtype(options.dtype or default, options.device)


def compared(
    ways: Mapping[str, Callable[[], torch.Tensor]], options: argparse.Namespace, settings: Mapping[str, Any],
    per: str = "", count: int = 1, memory: bool = False, warmup: int = 1, of: str = "",
) -> dict[str, Any]:
    """Run the ways in turns and report their times and how far their results are apart.

    Parameters
    ----------
    ways : mapping of str to callable
        Ways to the same tensor; one is called "package" and one "plain".
    options : argparse.Namespace
        From :func:`parser`.
    settings : mapping
        Begins the report.
    per, count : str, int
        Seconds are divided by ``count`` and reported as "seconds per ...".
    memory : bool
        Whether memory beyond inputs and weights is measured too.
    warmup : int
        Rounds before those that are timed.
    of : str
        What is compared, for the report's last line.
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
