"""One reader for every class list: --classes-file, --vocabulary and Python."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import output_of
from miniature import write_tree

import proxyclip as pc
from proxyclip.cli.options import ClassOptions
from proxyclip.data import vocab


def by_dataset(path: Path, root: Path) -> pc.Vocabulary:
    return pc.dataset("voc21", root, vocabulary=path).vocabulary


def by_option(path: Path, root: Path) -> pc.Vocabulary:
    return ClassOptions(classes_file=path).vocabulary()


READERS = [by_dataset, by_option, lambda path, root: vocab.read(path)]
WORDS = ["sky; cloud", "Bäume", *(f"class {number}" for number in range(2, 21))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree("voc21", tmp_path / "voc")


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_mark_at_the_beginning_of_a_file_is_no_part_of_a_class(
    read: Callable, encoding: str, line_end: str, tmp_path: Path, root: Path
):
    (tmp_path / "names.txt").write_bytes((line_end.join(WORDS) + line_end * 2).encode(encoding))
    assert read(tmp_path / "names.txt", root) == pc.Vocabulary.parse(WORDS)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("content", "sentence"), [
    ("sky\nBäume\n".encode("latin-1"), r"names.txt, line 2: not UTF-8 text .byte 0xe4.; save the class list as UTF-8"),
    ("sky\n".encode("utf-16"), "names.txt, line 1: not UTF-8 text"),
    (b"sky\n\nhorse\n", 'names.txt, line 2: empty; each line is one class, like "sky; cloud"'),
    (b"\n", "names.txt: empty"),
])
def test_a_list_that_cannot_be_read_is_named_with_the_line(
    read: Callable, content: bytes, sentence: str, tmp_path: Path, root: Path
):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path / "names.txt", root)


def test_both_options_of_the_command_line_use_it(tmp_path: Path, root: Path):
    (tmp_path / "names.txt").write_bytes(b"sky\n\nhorse\n")
    for command in (["segment", "photo.png", "--classes-file"],
                    ["evaluate", "--dataset", "voc21", "--data", root, "--output", "o.json", "--vocabulary"]):
        with pytest.raises(ValueError, match="names.txt, line 2: empty"):
            output_of(*command, tmp_path / "names.txt")
