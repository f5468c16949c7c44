"""The commands of README and of the page *Re-running* are run as they are printed, by small models on a few images."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import launch
import nbformat
import numpy as np
import pytest
import synthetic_checkpoints as synthetic
import torch
import user_machine
from command_line import exit_code, output_of
from miniature import write_image
from nbformat import NotebookNode
from papermill.cli import papermill

from book import __main__ as book, build, running
from book.checkout import Layout
from book.pages.ledger_page import write_pages
from proxyclip.supplement.chapters import notebooks
from proxyclip.supplement.chapters.notebooks import find_root
from proxyclip.supplement.result_files import load

pytestmark = pytest.mark.notebooks
ROOT = find_root()
PAGES = (ROOT / "README.md", ROOT / "book" / "rerun.md")

#: Commands that make an environment: continuous integration does it with these lines before any test.
OF_THE_ENVIRONMENT = ("python -m venv .venv", '.venv/bin/python -m pip install -c constraints.txt -e ".[dev]"')
#: What these tests use instead of the devices, files and numbers that a command names.
INSTEAD = {"cuda": "cpu", "device=cuda": "device=cpu", "dtype=float16": "dtype=float32", "limit=200": "limit=1",
           "limit=null": "limit=1", "metaclip_400m": "ViT-B-16.pt"}
#: A chapter on less than its defaults.
LESS = {"limit": "1", "datasets": "[voc21, cityscapes]", "attentions": "[qk, qq, kk]"}
LESS_TINY = {"limit": "1", "seeds": "1", "datasets": "[tiny/voc]", "gammas": "[3.0]"}


class Command(NamedTuple):
    """A command of a page, and the lines that the page prints below it."""

    page: str
    text: str
    printed: tuple[str, ...]


def commands() -> Iterator[Command]:
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                text, *printed = re.sub(r"\\\n\s*", "", part).strip().split("\n")
                yield Command(page.name, re.sub(r"\s+# .*", "", text), tuple(printed))


#: A command that is on both pages is run once.
COMMANDS = list({command.text: command for command in reversed(list(commands()))}.values())[::-1]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who types these commands: a photo, downloaded weights, the notebooks."""
    home = user_machine.write_machine(tmp_path_factory.mktemp("home"))
    folder = tmp_path_factory.mktemp("desk")
    write_image(folder / "photo.jpg", np.random.default_rng(0), (60, 80))
    for name, shape in (("ViT-B-16.pt", user_machine.CLIP_SHAPE), ("ViT-L-14.pt", user_machine.LARGE_SHAPE)):
        synthetic.write_torchscript(synthetic.openai(synthetic.clip(**shape), 224), folder / name)
    torch.save(user_machine._state("dino_vitb8", 0), folder / "dino_vitbase8_pretrain.pth")
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    (folder / "home").symlink_to(home)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}: {command.text[:60]}")
def test_a_command_does_what_its_page_says(
    command: Command, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command.text in OF_THE_ENVIRONMENT:
        pytest.skip("continuous integration makes its environment with this line")
    monkeypatch.chdir(desk)
    words = [INSTEAD.get(word, word) for word in shlex.split(command.text)]
    first = next(name for name in RUN if words[0] == name or command.text.startswith(name))
    if first not in ("make", ".venv/bin/python", "python") and "tiny" not in command.text:
        user_machine.move_in((desk / "home").resolve(), monkeypatch)
    RUN[first](words, desk, tmp_path, monkeypatch)
    if command.printed:
        assert capsys.readouterr().out.split("\n")[:-1] == list(command.printed)


# ------------------------------------------------------------------------------------------------- one way a programme


def run_proxyclip(words: list[str], desk: Path, _: Path, patch: pytest.MonkeyPatch) -> None:
    """In this process; chapters and evaluations on a few images, chapter B of README with the parameters it names."""
    patch.setattr(notebooks, "execute", execute_here)
    if words[1:3] == ["run", "B"]:
        check_verdicts(words, patch)
        return
    if words[1] == "run" or "--chapter" in words or words[1:3] == ["doctor", "E"]:
        less = LESS if "tiny" not in " ".join(words) else LESS_TINY
        words = [*words, *(part for name, value in less.items() for part in ("-p", f"{name}={value}"))]
    assert exit_code(patch, *words[1:]) == 0
    if words[1] == "run":
        folder = Path(next((word.partition("=")[2] for word in words if word.startswith("output_dir=")), "runs"))
        assert load(folder / f"{words[2]}.json").records


def check_verdicts(words: list[str], patch: pytest.MonkeyPatch) -> None:
    """README prints the verdicts of a chapter that ran with further parameters."""
    page = PAGES[0].read_text(encoding="utf-8")
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    (added,) = re.findall(r'`(-p betas="\[1.0, 1.2\]" -p limit=4 -p seeds=1)`', page)
    assert exit_code(patch, *words[1:], *shlex.split(added)) == 0
    wrote = [f"{verdict.claim} {verdict.status}: {verdict.figures}" for verdict in load(Path("runs/B.json")).verdicts]
    assert printed.strip().split("\n") == wrote[:2]


def execute_here(notebook: Path, output: Path, parameters: dict[str, Any], cwd: Path, **_: object) -> NotebookNode:
    """A chapter without a kernel, which other tests start."""
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(notebook, output)
    with chdir(cwd):
        user_machine.run_notebook(notebook, **{"output_dir": "runs", **parameters})
    return nbformat.read(notebook, 4)


def run_papermill(words: list[str], desk: Path, _: Path, __: pytest.MonkeyPatch) -> None:
    less = LESS if "paper" in words else LESS_TINY
    given = [part for name, value in less.items() for part in ("-p", name, value)]
    papermill.main([*words[1:], *given, "--prepare-only", "--no-progress-bar"], standalone_mode=False)
    space: dict[str, Any] = {"__name__": "__main__", "display": lambda *_: None}
    for cell in nbformat.read(words[2], 4).cells:
        if cell.cell_type == "code":
            user_machine.run_cell(cell.source, space)
    letter = Path(words[1]).name[0]
    rules = {record.rule for record in load(Path("runs") / f"{letter}.json").records if record.metric == "miou"}
    assert rules == {"B": {"adaptive:1,3", "adaptive:1.2,3", "adaptive:1.4,3", "identity"},
                     "E": {*"vanilla qk qq kk identity adaptive:1.2,3".split()}}[letter], "a list was read otherwise"


def run_torchrun(words: list[str], desk: Path, _: Path, __: pytest.MonkeyPatch) -> None:
    """Two workers, forks of this process."""
    arguments = words[words.index("proxyclip") + 1 :]
    if "--chapter" in arguments:
        arguments += [part for name, value in LESS.items() for part in ("-p", f"{name}={value}")]
    launch.in_fork(partial(launch.launch, 1, launch.free_port(), arguments))


def run_sbatch(words: list[str], desk: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """What Slurm does with an array: a shell expands the wrapped line for each index, all of which exist."""
    low, high = map(int, words[words.index("--array") + 1].split("-"))
    patch.setenv("SLURM_ARRAY_TASK_ID", str(high))
    wrapped = shlex.split(os.path.expandvars(words[words.index("--wrap") + 1]))
    arguments = [INSTEAD.get(word, word) for word in wrapped[1:]]
    job = arguments.index("--job")
    assert wrapped[0] == "proxyclip" and arguments[job + 1] == str(high)
    listed = output_of(*arguments[:job], "--grid", *arguments[job + 2 :]).splitlines()
    assert [int(line.split("\t")[0]) for line in listed] == list(range(low, high + 1))
    less = (part for name, value in LESS.items() if name != "datasets" for part in ("-p", f"{name}={value}"))
    assert exit_code(patch, *arguments, *less) == 0


def run_python(words: list[str], *_: object) -> None:
    assert words[1] == "-c"
    exec(words[2], {})


def set_variable(words: list[str], desk: Path, *_: object) -> None:
    """``export PROXYCLIP_DATA=/data``: the machine of these tests has it set to its own folder."""
    assert words[1].partition("=")[0] == "PROXYCLIP_DATA" and os.environ["PROXYCLIP_DATA"].endswith("/data")


def run_make(words: list[str], desk: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The lines that make would run; for the book, they are run, those of a user without make once."""
    # under "make test" a make inside would print the folders that it enters and leaves
    dry_run = ["make", "--no-print-directory", "-n", "-o", ".venv/.installed", *words[1:]]
    shown = subprocess.run(dry_run, cwd=ROOT, text=True, check=True, capture_output=True).stdout
    for line in re.sub(r"\\\n\s*", "", shown).strip().split("\n"):
        if " ".join(line.split()) not in {command.text for command in COMMANDS}:
            run_module(shlex.split(line), desk, folder, patch)


def run_module(words: list[str], desk: Path, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """``python -m book`` on a checkout with one chapter; what sphinx does is tested with the pages."""
    assert words[1] == "-m"
    if words[2] in ("mypy", "pytest"):
        return
    home = (desk / "home").resolve()
    words = [{"/data": str(home / "data"), "cuda": "cpu", "all": "1"}.get(word, word) for word in words[3:]]
    chapters = [word for word in words if len(word) == 1 and word.isalpha()] or ["E"]
    profile = "paper" if "paper" in words else "tiny"
    layout = one_chapter(folder, chapters[0], profile)
    patch.setattr(build, "find_root", lambda: layout.root)
    patch.setattr(running, "execute", execute_here)
    patch.setattr(build, "run_jobs", lambda *stages: [job.work() for stage in stages for job in stage])
    patch.setattr(build.drawn, "jobs", lambda layout, force: [])
    patch.setattr(build, "build_html", lambda given, force: write_pages(
        given.records, given.root / "results", given.sources / "generated") or True)
    if profile == "paper":
        user_machine.move_in(home, patch)
    assert book.main(words) == 0
    result = load(layout.records / f"{chapters[0]}.json")
    assert result.profile == profile and {record.n for record in result.records} >= {1}
    assert f"this book (profile {profile})" in (layout.sources / "generated" / "claims_table.html").read_text()


def one_chapter(folder: Path, letter: str, profile: str) -> Layout:
    """A checkout with one chapter, on one set and a few rules."""
    data = {"paper": "voc21", "tiny": "tiny/voc"}[profile]
    rules = {"E": 'attentions = ["qk"]', "B": "betas = [1.2]\ngammas = [3.0]"}[letter]
    notebook = next((ROOT / "notebooks").glob(f"{letter}_*.ipynb"))
    content = nbformat.read(notebook, 4)
    for cell in content.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += f'\ndatasets = ["{data}"]\n{rules}\nlimit = 1\nseeds = 1'
    for name in ("book", "notebooks"):
        (folder / name).mkdir()
    nbformat.write(content, folder / "notebooks" / notebook.name)
    (folder / "proxyclip").symlink_to(ROOT / "proxyclip")
    (folder / "book" / "_config.yml").write_text("title: T\n")
    return Layout(folder)


RUN = {"proxyclip": run_proxyclip, "papermill": run_papermill, "torchrun": run_torchrun, "sbatch": run_sbatch,
       "export": set_variable, "make": run_make, ".venv/bin/python": run_module, "python": run_python}
