"""Every field of a result's file, damaged in turn: the sentence names the file and the field."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from miniature import write_tree
from small_model import opened, small_model

from proxyclip.cli.score_commands import results_table
from proxyclip.evaluation.evaluator import run
from proxyclip.evaluation.paired_comparison import compare
from proxyclip.evaluation.result import read_result
from proxyclip.supplement.records import Record, Result, Verdict
from proxyclip.supplement.result_files import load, save
from proxyclip.system.own_files import CHECKSUM, with_checksum

#: A value of each type that JSON has.
VALUES: tuple[Any, ...] = (None, True, -1.5, "x", [], {}, [1], {"x": 1})
#: Whatever stands in these is kept as it is: nothing reads it, or its reader checks it.
FREE = ("parameters", "protocol")
Place = tuple[str | int, ...]


def fields_of(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every field of a JSON value; of a list its first entry."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        if key not in FREE:
            yield (*at, key), item
            yield from fields_of(item, (*at, key))


def with_value(record: Any, at: Place, value: Any) -> Any:
    """The record with another value at a place."""
    if not at:
        return value
    items = record.items() if isinstance(record, dict) else enumerate(record)
    changed = {key: with_value(item, at[1:], value) if key == at[0] else item for key, item in items}
    return changed if isinstance(record, dict) else list(changed.values())


def kind(value: Any) -> type:
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def chapter_result(folder: Path) -> Path:
    record = Record("E", "tiny", "miou", 31.0, "%", "tiny/voc", "tiny_sam", "adaptive:1.2,3", setting="read per head",
                    refinement="pamr", time_step=50, n=32, seed=9001, error=0.4)
    verdict = Verdict("E3", "holds", "It is higher.", "tiny_sam")
    provenance = {"cards": {"tiny/voc": {"name": "tiny/voc@1", "sha256": "0"}}, "versions": {"torch": "2.6"},
                  "weights_sha256": {"a": "0"}, "machine": "a", "device": "cpu", "date": "2026-01-01", "code": "",
                  "finished": "2026-01-01 00:00", "seconds": 1.5, "limit": 4, "seed": 0, "parameters": {"vfm": None}}
    return save(folder / "E.json", Result("E", "tiny", [record], [verdict], provenance, [verdict]))


def evaluation_result(folder: Path) -> Path:
    run(small_model(), opened("voc20", write_tree("voc20", folder / "voc")), ["adaptive"]).save(folder / "run.json")
    return folder / "run.json"


@pytest.mark.parametrize(("make", "read"), [(chapter_result, load), (evaluation_result, read_result)])
def test_a_field_of_another_type_is_named_with_its_file(
    make: Callable[[Path], Path], read: Callable[[Path], Any], tmp_path: Path
) -> None:
    path = make(tmp_path)
    whole = json.loads(path.read_text())
    del whole[CHECKSUM]
    read(path)
    tried, accepted = 0, []
    for at, present in fields_of(whole):
        for value in VALUES:
            if kind(value) is kind(present):
                continue
            path.write_text(json.dumps(with_checksum(with_value(whole, at, value))))
            tried += 1
            try:
                read(path)
            except ValueError as error:
                assert str(error).startswith(str(path)) and str(next(iter(at))) in str(error), (at, value, error)
            else:
                accepted.append((at, value))
    print(tried, accepted)
    # null where a value may be missing, and what nothing reads
    assert all(value is None or at[0] == "settings" for at, value in accepted), accepted
    assert tried > 150


def test_a_score_without_its_standard_error_is_named(tmp_path: Path) -> None:
    path = evaluation_result(tmp_path)
    whole = json.loads(path.read_text()) | {"standard_errors": {}}
    del whole[CHECKSUM]
    path.write_text(json.dumps(with_checksum(whole)))
    with pytest.raises(ValueError, match="run.json is not .*standard_errors has no adaptive:1.2,3"):
        read_result(path)


@pytest.mark.parametrize("make", [chapter_result, evaluation_result])
def test_a_result_that_was_edited_is_refused_and_left_out_of_the_table(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    assert len(results_table(tmp_path)) == 1
    content = path.read_text()
    path.write_text(content.replace('"tiny"', '"paper"').replace('"adaptive:1.2,3"', '"adaptive:1.2,4"'))
    assert path.read_text() != content
    assert results_table(tmp_path).empty
    assert f"{path} is left out" in capsys.readouterr().err
    with pytest.raises(ValueError, match="changed after it was written"):
        load(path) if make is chapter_result else compare(path)
