"""Several processes on one evaluation: who does what, who is alive, and one sum at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

#: Seconds without a finished image after which a worker counts as lost.
IDLE_LIMIT = 1800.0


class WorkerLost(RuntimeError):
    """Another process of this run has stopped answering."""


@dataclass
class Workers:
    """The processes of a run, as one of them sees it. ``Workers()`` is a single process without any network.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    device : torch.device
        Where sums are exchanged: the GPU under NCCL, else the CPU.
    idle_limit : float
        Seconds without a finished image after which another process counts as lost.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")
    idle_limit: float = IDLE_LIMIT
    store: dist.Store | None = None

    def share(self, items: Sequence[int]) -> list[int]:
        """Return this process's part of the work: every ``size``-th item."""
        return list(items[self.rank :: self.size])

    def beat(self) -> None:
        """Tell the others that this process has finished an image."""
        if self.store is not None:
            self._ask(lambda: self.store.add(f"beat/{self.rank}", 1))

    def wait(self) -> None:
        """Wait until every process has done its part.

        Raises
        ------
        WorkerLost
            When one of them finishes no image for ``idle_limit`` seconds, or cannot be reached.
        """
        if self.store is None:
            return
        self._ask(lambda: self.store.add(f"done/{self.rank}", 1))
        seen = {rank: (-1, time.monotonic()) for rank in range(self.size) if rank != self.rank}
        while seen:
            for rank, (beats, since) in list(seen.items()):
                if self._ask(lambda rank=rank: self.store.add(f"done/{rank}", 0)):
                    del seen[rank]
                    continue
                now = self._ask(lambda rank=rank: self.store.add(f"beat/{rank}", 0))
                if now != beats:
                    seen[rank] = (now, time.monotonic())
                elif time.monotonic() - since > self.idle_limit:
                    raise WorkerLost(
                        f"worker {rank} of {self.size} has finished no image for {self.idle_limit:g} s; "
                        "with a progress folder the counts of the others are saved: run the command again"
                    )
            time.sleep(min(0.2, self.idle_limit / 4))

    def _ask(self, question: Any) -> int:
        try:
            return question()
        except RuntimeError as error:  # the store lives in another process, which may be gone
            raise WorkerLost(
                f"worker {self.rank} of {self.size} cannot reach the run's first process"
            ) from error

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in the order of their ranks."""
        if self.store is None:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def add_up(self, counts: np.ndarray) -> np.ndarray:
        """Return the sum over all processes of an int64 array."""
        if self.store is None:
            return counts
        total = torch.from_numpy(counts).to(self.device, copy=True)
        dist.all_reduce(total)
        return total.cpu().numpy()


def local_device(device: str) -> str:
    """Return this process's own GPU where ``torchrun`` started several and ``device`` is "cuda"."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device


@contextmanager
def joined(device: str | torch.device = "cpu", idle_limit: float = IDLE_LIMIT) -> Iterator[Workers]:
    """Join the processes that ``torchrun`` started; without it, be the only one.

    Parameters
    ----------
    device : str or torch.device
        A CUDA device exchanges sums by NCCL, any other by Gloo.
    idle_limit : float
        See :class:`Workers`; also the bound on finding each other and on every exchange.

    Raises
    ------
    WorkerLost
        When the processes do not find each other in time.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Workers(idle_limit=idle_limit)
        return
    device = torch.device(device)
    limit = timedelta(seconds=idle_limit)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=limit))
        store.set_timeout(limit)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    except (RuntimeError, ValueError) as error:
        raise WorkerLost(f"the workers did not find each other within {idle_limit:g} s ({error})") from error
    exchange = device if device.type == "cuda" else torch.device("cpu")
    try:
        yield Workers(rank, size, exchange, idle_limit, dist.PrefixStore("evaluate", store))
    finally:
        dist.destroy_process_group()
