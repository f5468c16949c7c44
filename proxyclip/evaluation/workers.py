"""Share one evaluation among the processes that ``torchrun`` started, and detect when one of them is lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

#: Seconds without a finished image after which a worker counts as lost.
IDLE_LIMIT = 1800.0

#: Bytes of one entry of the store, which takes 8 MiB at most.
PIECE = 4 * 2**20

Answer = TypeVar("Answer")


class WorkerLost(RuntimeError):
    """Another process of this run has stopped answering."""


@dataclass
class Workers:
    """The processes of a run, as one of them sees it. ``Workers()`` is a single process without any network.

    They exchange bytes through the key-value store of ``torchrun``; results are merged from the same parts that a run
    saves in its progress folder, so no collective operation of the accelerators is needed.

    Attributes
    ----------
    rank, size : int
        Number of this process, and how many there are.
    idle_limit : float
        Seconds without a finished image after which another process counts as lost.
    """

    rank: int = 0
    size: int = 1
    idle_limit: float = IDLE_LIMIT
    store: dist.Store | None = None
    _round: int = field(default=0, repr=False)

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
        done = f"done/{self._round}"
        self._ask(lambda: self.store.add(f"{done}/{self.rank}", 1))
        seen = {rank: (-1, time.monotonic()) for rank in range(self.size) if rank != self.rank}
        while seen:
            for rank, (beats, since) in list(seen.items()):
                if self._ask(lambda rank=rank: self.store.add(f"{done}/{rank}", 0)):
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

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, JSON each, in the order of their ranks."""
        return [json.loads(answer) for answer in self.exchange(json.dumps(value).encode())]

    def exchange(self, content: bytes) -> list[bytes]:
        """Publish bytes and return those of all processes, in the order of their ranks.

        Raises
        ------
        WorkerLost
            When one of them publishes nothing for ``idle_limit`` seconds, or cannot be reached.
        """
        if self.store is None:
            return [content]
        self._round += 1
        pieces = [content[at : at + PIECE] for at in range(0, len(content), PIECE)]
        for number, piece in enumerate(pieces):
            self._ask(lambda number=number, piece=piece: self.store.set(self._key(self.rank, number), piece))
        self._ask(lambda: self.store.set(self._key(self.rank, "pieces"), str(len(pieces))))
        return [self._published(rank) for rank in range(self.size)]

    def leave(self) -> None:
        """Wait until all processes have read the exchanged bytes, because the store may live in this process."""
        if self.store is None:
            return
        start = time.monotonic()
        self._ask(lambda: self.store.add("left", 1))
        while self.rank == 0 and self.store.add("left", 0) < self.size and time.monotonic() - start < self.idle_limit:
            time.sleep(min(0.05, self.idle_limit / 4))

    def _published(self, rank: int) -> bytes:
        pieces = int(self._ask(lambda: self.store.get(self._key(rank, "pieces"))))
        return b"".join(self._ask(lambda n=n: self.store.get(self._key(rank, n))) for n in range(pieces))

    def _key(self, rank: int, part: int | str) -> str:
        return f"exchange/{self._round}/{rank}/{part}"

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except RuntimeError as error:  # the store lives in another process, which may be gone
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

    Parameters
    ----------
    device : str or torch.device
        Where this process computes.
    idle_limit : float
        See :class:`Workers`; it also limits the time for finding each other and for every exchange.

    Raises
    ------
    WorkerLost
        When the processes do not find each other in time.
    ValueError
        If the environment variable ``WORLD_SIZE`` is no number.
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
    except (RuntimeError, ValueError) as error:
        raise WorkerLost(f"the workers did not find each other within {idle_limit:g} s ({error})") from error
    workers = Workers(rank, size, idle_limit, dist.PrefixStore("evaluate", store))
    yield workers
    workers.leave()
