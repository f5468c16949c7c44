"""The script for a GPU: its dry run takes the same steps at sizes for a CPU and leaves a whole folder or none."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.sh"


def test_a_dry_run_of_the_script_for_a_gpu_writes_a_whole_folder_once(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [str(SCRIPT), "--dry-run", str(tmp_path / "results")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "results").iterdir()}
    assert found.keys() == {"table_1_float32", "image_speed", "head_memory"}
    assert found["table_1_float32"]["rows"]["CLIP"]["ips"] > 0
    assert 0 < found["image_speed"]["share of the rate of a large matrix product in this dtype"] < 2
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 1  # it replaces nothing
    broken = subprocess.run([*command[:2], str(tmp_path / "none")], env={**environment, "PYTHON": "false"})
    assert broken.returncode != 0 and not (tmp_path / "none").exists()
