"""Digests of many files: they follow the content, and untouched files are not read again."""

import os
import time

import pytest

from proxyclip.data import content
from proxyclip.data.content import digest_of_files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROXYCLIP_CACHE", str(tmp_path / "cache"))


def _files(folder, count=20):
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").write_bytes(bytes([number]) * 50)
    return sorted(folder.iterdir())


def test_untouched_files_are_not_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "SETTLED", 0)
    files = _files(tmp_path / "set")
    time.sleep(0.02)
    before = digest_of_files(files, tmp_path / "set")
    monkeypatch.setattr(content, "_digest", lambda name: pytest.fail(f"{name} was read"))
    assert digest_of_files(files, tmp_path / "set") == before


@pytest.mark.parametrize("keep_time", [False, True])
def test_other_values_in_a_file_of_the_same_size_are_other_content(keep_time, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "SETTLED", 0)
    files = _files(tmp_path / "set")
    time.sleep(0.02)
    before, stamp = digest_of_files(files, tmp_path / "set"), files[3].stat()
    files[3].write_bytes(bytes([99]) * 50)
    if keep_time:
        os.utime(files[3], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert digest_of_files(files, tmp_path / "set") != before


def test_a_file_that_may_still_change_within_its_time_stamp_is_read_again(tmp_path, monkeypatch):
    files, read = _files(tmp_path / "set", 1), []
    monkeypatch.setattr(content, "_digest", lambda name: read.append(name) or "d")
    digest_of_files(files, tmp_path / "set")
    digest_of_files(files, tmp_path / "set")
    assert len(read) == 2


def test_a_damaged_index_is_set_aside_and_the_digest_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "SETTLED", 0)
    files = _files(tmp_path / "set", 2)
    time.sleep(0.02)
    before = digest_of_files(files, tmp_path / "set")
    (index,) = (content.user_cache() / "digests").iterdir()
    index.write_bytes(index.read_bytes()[:30])
    with pytest.warns(UserWarning, match="files are read again"):
        assert digest_of_files(files, tmp_path / "set") == before
