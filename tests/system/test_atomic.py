"""Files are written completely or not at all."""

import pytest

from proxyclip.system.atomic import replacing


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "result.json").write_text("old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "result.json") as partial:
        partial.write_text("half a resu")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result.json", "old")]
