"""What ``pip install proxyclip`` brings, without any extra: the packages of the extras cannot be imported here."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from proxyclip.system.extras import EXTRAS

#: The name of a module's distribution, where it is another.
DISTRIBUTION = {"skimage": "scikit-image", "nbclient": "papermill", "IPython": "ipykernel"}

WITHOUT_EXTRAS = f"""
import sys
sys.modules |= dict.fromkeys({sorted(EXTRAS)})  # as if they were not installed
from proxyclip.cli.app import main
def call(*words):
    sys.argv = ["proxyclip", *words]
    try:
        main()
    except SystemExit as stop:
        print(words[0], words[1] if len(words) > 1 else "", "->", stop.code or 0)
import proxyclip as pc
pc.dataset("tiny/voc")[0].image.save("photo.png")
"""

WORK = """
call("segment", "photo.png", "--classes", "sky, grass", "-o", "out.png")
call("evaluate", "--dataset", "tiny/voc", "--limit", "2", "--output", "a.json", "--save-predictions", "masks",
     "--rule", "adaptive", "--rule", "qq")
call("score", "--predictions", "masks/adaptive_1.2,3", "--dataset", "tiny/voc", "--limit", "2", "--output", "b.json")
call("compare", "a.json")
call("results", ".")
call("explore", "photo.png", "--classes", "sky, grass", "-o", "page.html")
call("doctor", "--dataset", "tiny/voc20")
call("doctor")
"""

MISSING = """
call("evaluate", "--dataset", "tiny/voc", "--vfm", "tiny_sd", "--output", "c.json")
call("segment", "photo.png", "--classes", "sky", "--profile", "tiny", "--vfm", "sd15", "-o", "o.png")
call("run", "B")
"""


def test_segmenting_and_evaluating_need_no_extra_and_a_missing_one_is_a_sentence(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT_EXTRAS + WORK + MISSING], cwd=tmp_path, text=True,
                           capture_output=True, check=False)
    codes = re.findall(r"^.* -> (\d)$", found.stdout, re.MULTILINE)
    assert codes == ["0"] * 8 + ["2"] * 3, (found.stdout, found.stderr)
    assert [line for line in found.stderr.splitlines() if line.startswith("proxyclip:")] == [
        f'proxyclip: this needs the package {name}, which is not installed: pip install "proxyclip[{extra}]"'
        for name, extra in [("diffusers", "diffusion"), ("diffusers", "diffusion"), ("nbformat", "chapters")]]


@pytest.mark.parametrize("module", EXTRAS)
def test_the_extra_of_the_sentence_installs_the_package(module: str, repository_root: Path) -> None:
    project = tomllib.loads((repository_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = {canonicalize_name(Requirement(line).name) for line in project["optional-dependencies"][EXTRAS[module]]}
    assert DISTRIBUTION.get(module, module) in installed
    assert not any(DISTRIBUTION.get(module, module) == Requirement(line).name for line in project["dependencies"])
