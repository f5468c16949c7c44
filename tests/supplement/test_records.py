"""Records and the files they are kept in."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from proxyclip.supplement import paper, records as results, result_files
from proxyclip.supplement.records import Record, Result, Verdict

RECORD = Record("E", "tiny", "miou", 10 * math.pi, "%", "tiny/voc", "tiny_sam", "adaptive:1.2,3", n=32, seed=0)


def result(*records: Record) -> Result:
    return Result("E", "tiny", list(records), [Verdict("E3", "holds", "It does.")], {"seed": 0, "versions": {"x": "1"}})


def test_a_saved_result_reads_back_equal_to_the_last_bit(tmp_path: Path) -> None:
    before = result(RECORD, *(replace(record, profile="architecture") for record in paper.published("E")))
    path = result_files.save(tmp_path / "new" / "E.json", before)
    assert result_files.load(path) == before


@pytest.mark.parametrize(("profile", "value", "sentence"), [
    ("tiny", math.nan, "finite"), ("tiny", math.inf, "finite"), ("large", 1.0, "published, tiny, paper, architecture"),
])
def test_a_record_without_a_finite_value_or_of_an_unknown_profile_is_refused(profile, value, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        Record("E", profile, "miou", value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 99}', '{"schema": 1, "section": "E"}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "E.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="E.json is not a result of a chapter"):
        result_files.load(path)


def test_the_file_is_plain_json_without_empty_fields(tmp_path: Path) -> None:
    content = json.loads(result_files.save(tmp_path / "E.json", result(RECORD)).read_text())
    assert list(content) == ["schema", "section", "profile", "records", "claims", "checks", "provenance", "checksum"]
    assert "setting" not in content["records"][0] and content["records"][0]["method"] == "ProxyCLIP"


def test_the_table_reads_parameters_family_and_stand_in() -> None:
    frame = results.table([RECORD, Record("D", "published", "miou", 1.0, "%", "coco_stuff", "DINO", "hard:0.4")])
    assert frame["beta"].tolist()[0] == 1.2 and frame["gamma"].tolist()[0] == 3.0 and frame["alpha"].tolist()[1] == 0.4
    assert frame["family"].tolist() == ["SAM", "DINO"]
    assert frame["stands_for"].tolist() == ["voc21", "coco_stuff"]


def test_what_the_first_schema_wrote_in_words_is_read_into_its_fields(tmp_path: Path) -> None:
    rows = [{"setting": "with PAMR"}, {"setting": "x, with PAMR (pamr:iterations=1,dilations=1)"},
            {"setting": "t = 50"}]
    record = {"section": "H", "profile": "tiny", "metric": "miou", "value": 1.0, "rule": "adaptive:1.2,3"}
    path = tmp_path / "H.json"
    path.write_text(json.dumps({"schema": 1, "section": "H", "profile": "tiny", "claims": [], "provenance": {},
                                "records": [record | row for row in rows]}))
    found = result_files.load(path).records
    assert [one.setting for one in found] == ["", "x", ""]
    assert [one.refinement for one in found] == ["pamr", "pamr:iterations=1,dilations=1", ""]
    assert [one.time_step for one in found] == [None, None, 50]
    assert (found[0].beta, found[0].gamma, found[0].alpha) == (1.2, 3.0, None)
