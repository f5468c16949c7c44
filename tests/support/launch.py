"""Forks of this process, which need not import everything again: for work of its own, and as workers of torchrun."""

import multiprocessing
import socket
from collections.abc import Callable

from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from typer.testing import CliRunner

from proxyclip.cli.app import app

FORK = multiprocessing.get_context("fork")


def in_fork(work: Callable[[], object]) -> None:
    """Do something in a fork and wait for it; what it prints, its traceback too, is shown with the test."""
    child = FORK.Process(target=work)
    child.start()
    child.join()
    assert child.exitcode == 0, f"the fork ended with {child.exitcode}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(arguments: list[str]) -> None:
    CliRunner().invoke(app, arguments, catch_exceptions=False)


def launch(nodes: int, port: int, arguments: list[str]) -> None:
    """What torchrun does on one of ``nodes`` that have two workers in all."""
    config = LaunchConfig(
        min_nodes=nodes, max_nodes=nodes, nproc_per_node=2 // nodes, start_method="fork", rdzv_backend="c10d",
        rdzv_endpoint=f"127.0.0.1:{port}", run_id="test", max_restarts=0, monitor_interval=0.1,
        local_addr="127.0.0.1",
    )
    elastic_launch(config, command)(arguments)
