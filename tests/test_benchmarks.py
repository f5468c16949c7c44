"""The script for a GPU: its dry run takes the same steps at sizes for a CPU and leaves a whole folder or none."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.sh"


def test_a_dry_run_of_the_script_for_a_gpu_writes_a_whole_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its Python is a stand-in that writes down the steps; they are then taken in this process."""
    python, steps = tmp_path / "python", tmp_path / "steps"
    python.write_text(f'#!/bin/sh\necho "$@" >> "{steps}"\necho "{{}}"\n')
    python.chmod(0o755)
    command = [str(SCRIPT), "--dry-run", str(tmp_path / "results")]
    assert subprocess.run(command, env={**os.environ, "PYTHON": str(python)}).returncode == 0
    assert all(path.read_text() == "{}\n" for path in (tmp_path / "results").iterdir())
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.chdir(SCRIPT.parents[1])
    names = {"table_1": "table_1_float32", "image_speed": "image_speed", "part_speed": "head_memory"}
    found = {}
    for line in steps.read_text().splitlines():
        monkeypatch.setattr(sys, "argv", line.split())
        runpy.run_path(sys.argv[0], run_name="__main__")
        found[names[Path(sys.argv[0]).stem]] = json.loads(capsys.readouterr().out)
    assert {path.stem for path in (tmp_path / "results").iterdir()} == found.keys() == set(names.values())
    assert found["table_1_float32"]["rows"]["CLIP"]["ips"] > 0
    assert 0 < found["image_speed"]["share of the rate of a large matrix product in this dtype"] < 2
    assert subprocess.run(command, capture_output=True).returncode == 1  # it replaces nothing
    broken = subprocess.run([*command[:2], str(tmp_path / "none")], env={**os.environ, "PYTHON": "false"})
    assert broken.returncode != 0 and not (tmp_path / "none").exists()
