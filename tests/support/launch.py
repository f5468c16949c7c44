"""torchrun with forks of this process as workers, which need not import everything again."""

import multiprocessing
import socket

from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from typer.testing import CliRunner

from proxyclip.cli.app import app

FORK = multiprocessing.get_context("fork")


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
    )  # fmt: skip
    elastic_launch(config, command)(arguments)
