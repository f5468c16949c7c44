"""Files are written completely or not at all."""

import os
from pathlib import Path

import pytest

from proxyclip.system.atomic import replacing, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "result.json").write_text("old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "result.json") as partial:
        partial.write_text("half a resu")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result.json", "old")]


def test_a_link_in_place_of_an_output_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    precious, output = tmp_path / "precious.txt", tmp_path / "result.json"
    precious.write_text("kept")
    output.symlink_to(precious)
    with pytest.warns(UserWarning, match="a symbolic link to .*; a file takes its place"):
        write_text(output, "new")
    assert output.read_text() == "new" and not output.is_symlink() and precious.read_text() == "kept"


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    for name in ("pipe", "null"):
        with pytest.raises(ValueError, match="it is a pipe or a device; name a file"):
            write_text(tmp_path / name, "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]
