"""The commands of the page *Use it on your own data* do what the page says."""

import json
import re
import shlex
from pathlib import Path

import pytest
from command_line import output_of
from test_folders import SCENES, write_street

from proxyclip.cli.chapter_jobs import chapter_parameters

PAGE = (Path(__file__).parents[2] / "book" / "own_data.md").read_text(encoding="utf-8")
EXPECTED = {"doctor": f"{SCENES} of {SCENES} images can be evaluated", "evaluate": "written to own.json",
            "diagnose": "mIoU", "compare": "mIoU", "score": "written to scored.json", "results": "all.csv"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_commands_and_the_code_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_street(tmp_path / "my_set")
    commands = [shlex.split(line) for block in blocks("console") for line in
                re.sub(r"\\\n\s*", "", block).splitlines()]
    assert [command[:2] for command in commands] == [["$", "proxyclip"]] * len(commands)
    for _, _, name, *arguments in commands:
        if name == "run":  # minutes: its parameters are checked as the chapter does, which tests/data/test_folders runs
            chapter_parameters(arguments[0], arguments[2::2])
        else:
            assert EXPECTED[name] in output_of(name, *arguments)
    assert {command[2] for command in commands} == {*EXPECTED, "run"}
    own, scored = (json.loads((tmp_path / f"{name}.json").read_text())["per_class"] for name in ("own", "scored"))
    assert [row["iou"] for row in own if row["rule"] == "qq"] == [row["iou"] for row in scored]
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 4
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(block, names)
    assert len(names["frame"]) == 2 and names["comparison"].second == "adaptive:1.2,3"
    assert (tmp_path / "explorer.html").stat().st_size > 10_000
