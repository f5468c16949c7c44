"""Run independent jobs on all cores, with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

import torch
from tqdm import tqdm

from proxyclip.system.processes import cores

Job = TypeVar("Job")
Result = TypeVar("Result")


def parallel_map(
    function: Callable[[Job], Result], jobs: Sequence[Job], workers: int | None = None, desc: str = ""
) -> Iterator[tuple[Job, Result]]:
    """Call a function with every job and yield each (job, result) when it is ready.

    Jobs run in ``workers`` processes of one thread each, one for each core by default, for which the function must be
    picklable; a single worker runs in this process. Waiting jobs are cancelled when the caller stops iterating or a job
    fails.
    """
    workers = min(workers or cores(), len(jobs))
    if workers <= 1:
        yield from ((job, function(job)) for job in tqdm(jobs, desc, disable=None))
        return
    # Spawned, not forked: a child cannot use the threads that OpenMP started in its parent.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,))
    try:
        pending = {pool.submit(function, job): job for job in jobs}
        for future in tqdm(as_completed(pending), desc, len(jobs), disable=None):
            yield pending[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)
