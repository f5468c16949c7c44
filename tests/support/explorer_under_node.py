"""Run explorer.js under node, on a scene and a list of questions."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from proxyclip.explorer.assets import ASSETS

JOB = Path(__file__).parents[1] / "explorer" / "node_job.js"


def ask(folder: Path, asked: list[dict[str, Any]], scene: dict[str, Any] | None = None) -> list[Any]:
    """Answers of ``node_job.js``, one for each question; skips where node is missing."""
    if shutil.which("node") is None:
        pytest.skip("node is not on PATH: explorer.js was not compared with PyTorch")
    (folder / "job.json").write_text(json.dumps({"scene": scene, "asked": asked}))
    command = ["node", str(JOB), str(ASSETS / "explorer.js"), str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
