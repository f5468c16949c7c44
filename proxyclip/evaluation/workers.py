"""Share one evaluation among the processes that ``torchrun`` started, and detect when one of them is lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

#: Seconds without a finished image after which a worker counts as lost.
IDLE_LIMIT = 1800.0


class WorkerLost(RuntimeError):
    """Another process of this run has stopped answering."""


@dataclass
class Workers:
    """The processes of a run, as one of them sees it. ``Workers()`` is a single process without any network.

    Counts travel as objects over gloo, between CPUs; ``torchrun``'s key-value store only holds how many images each
    process has finished.
    """

    #: Number of this process, and how many there are.
    rank: int = 0
    size: int = 1
    idle_limit: float = IDLE_LIMIT  #: Seconds without a finished image after which another process counts as lost.
    store: dist.Store | None = None

    def share(self, items: Sequence[int]) -> list[int]:
        """Return this process's part of the work: every ``size``-th item."""
        return list(items[self.rank :: self.size])

    def beat(self) -> None:
        """Tell the others that this process has finished an image."""
        self._count("images", self.rank, 1)

    def wait(self) -> None:
        """Wait until every process is done; :class:`WorkerLost` when one does nothing for ``idle_limit`` seconds."""
        done = self._count("done", self.rank, 1)
        seen = {rank: (-1, 0.0) for rank in range(self.size) if rank != self.rank}
        while seen := {rank: last for rank, last in seen.items() if self._count("done", rank) < done}:
            for rank, (before, since) in seen.items():
                images = self._count("images", rank)
                if images != before:
                    seen[rank] = (images, time.monotonic())
                elif time.monotonic() - since > self.idle_limit:
                    raise WorkerLost(
                        f"worker {rank} of {self.size} has finished no image for {self.idle_limit:g} s; "
                        "with a progress folder the counts of the others are saved: run the command again"
                    )
            time.sleep(min(0.2, self.idle_limit / 4))

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes by rank; :class:`WorkerLost` when one does not answer in time."""
        values = [value] * self.size
        if self.size > 1:
            with self._answering():
                dist.all_gather_object(values, value)
        return values

    def _count(self, what: str, rank: int, more: int = 0) -> int:
        """Add to a number of a process that all can read, and return it."""
        if self.store is None:
            return 0
        with self._answering():
            return self.store.add(f"{what}/{rank}", more)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise WorkerLost(
                f"worker {self.rank} of {self.size} got no answer from the others within {self.idle_limit:g} s"
            ) from error


def local_device(device: str) -> str:
    """Return this process's own GPU where ``torchrun`` started several and ``device`` is "cuda"."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device


@contextmanager
def joined(device: str | torch.device = "cpu", idle_limit: float = IDLE_LIMIT) -> Iterator[Workers]:
    """Join the processes that ``torchrun`` started; without it, be the only one.

    ``device`` is where this process computes. ``idle_limit`` (see :class:`Workers`) also limits the time for finding
    each other and for every exchange; :class:`WorkerLost` is raised after it.
    """
    processes = os.environ.get("WORLD_SIZE", "1")
    if not processes.isdecimal():
        raise ValueError(f"WORLD_SIZE must be a number of processes, got {processes!r}; torchrun sets this environment "
                         "variable, and without torchrun it has to be unset")
    if int(processes) < 2:
        yield Workers(idle_limit=idle_limit)
        return
    if torch.device(device).type == "cuda":
        torch.cuda.set_device(device)
    limit = timedelta(seconds=idle_limit)
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=limit))
        store.set_timeout(limit)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise WorkerLost(f"the workers did not find each other within {idle_limit:g} s ({error})") from error
    workers = Workers(rank, size, idle_limit, dist.PrefixStore("evaluate", store))
    try:
        yield workers
        workers.gather(None)  # the store may live in this process, so none leaves before the others are done
        time.sleep(0.2)  # PyTorch 2.6 can hang where a group is left right after an exchange: 7 of 40 tries, 0 of 50 so
    finally:
        dist.destroy_process_group()
