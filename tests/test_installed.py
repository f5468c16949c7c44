"""The package without a clone: the wheel holds the notebooks and runs chapters."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import regression

import proxyclip as pc
from book.site import downloads
from proxyclip.supplement import result_files
from proxyclip.supplement.chapters.notebooks import find_root
from proxyclip.supplement.experiment import Experiment

ROOT = find_root()
#: Parameters of chapter B that make it short.
LESS = {name: str(value) for name, value in regression.DEFAULT_ALONE.items()}


def call(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PROXYCLIP_DATA")}
    found = subprocess.run([str(part) for part in command], cwd=cwd, env={**clean, **environment}, text=True,
                           capture_output=True, check=False)
    assert found.returncode == 0, found.stderr
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is committed, so that nothing is written into the clone."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).stdout.split("\0")
    for name in filter(None, listed):
        if (source := ROOT / name).is_file():
            (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "copy" / name).write_bytes(source.read_bytes())
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", folder, folder / "copy", cwd=folder)
    return next(folder.glob("proxyclip-*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel, which finds the other packages where these tests do."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    call(sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--quiet", "--no-deps", "--no-index",
         wheel, cwd=folder)
    site = Path(call(scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
                     cwd=folder).stdout.strip())
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def test_the_wheel_holds_every_notebook_as_committed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {Path(name).name: archive.read(name) for name in archive.namelist() if name.endswith(".ipynb")}
    assert inside == {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("[A-Z]_*.ipynb")}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    """Of what is not code it takes only what ``package-data`` names; an editable installation hides the difference."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith(".ipynb")}
    package = ROOT / "proxyclip"
    assert inside == {path.relative_to(ROOT).as_posix() for path in package.rglob("*")
                      if path.is_file() and "__pycache__" not in path.parts}


@pytest.mark.notebooks
def test_an_installed_package_lists_chapters_and_runs_one_without_a_clone_to_the_same_bits(
    environment: Path, tmp_path: Path
) -> None:
    """A kernel of its own gives the bits that this process gives with other rules beside those of the chapter."""
    listed = call(environment / "proxyclip", "chapters", cwd=tmp_path).stdout.splitlines()
    assert [line[0] for line in listed] == sorted(path.name[0] for path in (ROOT / "notebooks").glob("[A-Z]_*.ipynb"))
    assert all(str(environment.parent) in line for line in listed)
    options = [part for name, value in LESS.items() for part in ("-p", f"{name}={value}")]
    done = call(environment / "proxyclip", "run", "B", *options, cwd=tmp_path)
    assert "tiny/indoor: 100%" in done.stderr and "image/s" in done.stderr, "no progress was shown"
    records = result_files.load(tmp_path / "runs" / "B.json").records
    here = Experiment("B", profile="tiny", output_dir=str(tmp_path / "here"), **regression.DEFAULT_ALONE)
    here.measure([pc.HardMask(0.4), pc.Adaptive(), pc.Adaptive(beta=1.0), pc.MaskCLIP(), pc.Identity()])
    assert len(records) > 5 and set(records) <= set(here.records)
    executed = Path(tmp_path / done.stdout.strip()).read_text()
    assert "image/s" not in executed, "the progress stayed in the notebook"


@pytest.mark.notebooks
def test_a_notebook_that_was_taken_home_runs_with_the_wheel(environment: Path, tmp_path: Path) -> None:
    """Far from the clone."""
    downloads.write_downloads(ROOT / "notebooks", ROOT / "book" / "references.bib", tmp_path, "version 1", None)
    (tmp_path / "home").mkdir()
    with zipfile.ZipFile(tmp_path / downloads.ARCHIVE) as archive:
        (name,) = [name for name in archive.namelist() if Path(name).name.startswith("B_")]
        (tmp_path / "home" / "mine.ipynb").write_bytes(archive.read(name))
    least = {**LESS, "limit": "1", "vfm": "tiny_dino"}
    options = [part for name, value in least.items() for part in ("-p", name, value)]
    call(environment / "python", "-m", "papermill", "mine.ipynb", "out.ipynb", *options, cwd=tmp_path / "home")
    assert json.loads((tmp_path / "home" / "runs" / "B.json").read_text())["records"]
