"""Call the command line in this process."""

import sys

import pytest
from typer.testing import CliRunner

from proxyclip.cli import app as cli


def output_of(*arguments: object) -> str:
    """What a command prints; its errors are raised."""
    return CliRunner().invoke(cli.app, [str(part) for part in arguments], catch_exceptions=False).output


def exit_code(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """The exit code of a command, with errors shown as a user sees them."""
    monkeypatch.setattr(sys, "argv", ["proxyclip", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)
