"""The supplement's tables are the printed ones."""

import re
from pathlib import Path

import pytest
from printed_tables import PRINTED, printed

from proxyclip.supplement import paper
from proxyclip.supplement.records import table


def test_every_table_is_complete() -> None:
    frame = table(paper.published())
    counts = frame.groupby("section").size().to_dict()
    assert counts == {"A": len(paper.STABLE_DIFFUSION), "C": 5 * 4, "D": 4 * 6, "E": 4 * 9 + 1, "F": 16 * 3}
    assert (frame["profile"] == "published").all()


def test_no_two_published_records_are_the_same_thing() -> None:
    keys = [record.key() for record in paper.published()]
    assert len(set(keys)) == len(keys)


def test_each_cited_method_has_an_entry_in_the_bibliography(repository_root) -> None:
    bibliography = repository_root / "book" / "references.bib"
    if not bibliography.is_file():
        pytest.skip("book/references.bib is not here")
    text = bibliography.read_text(encoding="utf-8")
    missing = [key for key in (row.citation for row in paper.TABLE_4) if f"{{{key}," not in text]
    assert not missing


def decimals(cells: list[str]) -> tuple[float, ...]:
    return tuple(map(float, cells))


def test_every_number_of_tables_1_to_3_is_the_printed_one() -> None:
    assert paper.TABLE_1 == {method: decimals(cells) for method, *cells in printed(1)}
    assert paper.TABLE_2 == {vfm: decimals(cells) for vfm, *cells in printed(2)}
    names = {"q-k": "qk", "q-q": "qq", "k-k": "kk", "Proxy": "adaptive:1.2,3"}
    assert paper.TABLE_3 == {names[name]: decimals(cells) for name, *cells in printed(3)}


def test_every_row_of_table_4_is_the_printed_one() -> None:
    rows = [(f"{row.printed_name} [{row.number}]" if row.number else row.printed_name, row.venue,
             "✓" if row.supervision == paper.FULL else "✗", row.values) for row in paper.TABLE_4]
    assert rows == [(name, venue, mark, decimals(cells)) for name, venue, mark, *cells in printed(4)]


def test_the_copied_rows_stand_in_the_supplement(repository_root: Path) -> None:
    source = repository_root.parent / "shared" / "paper" / "supplement.md"
    if not source.is_file():
        pytest.skip("the supplement's text is not here")
    text = re.sub(r"</?i>|\*", "", source.read_text(encoding="utf-8"))
    assert not [row for row in PRINTED.splitlines() if not row.startswith("#") and row not in text]


def test_the_factor_of_section_a_is_the_window_over_the_feature_map() -> None:
    facts = {name: value for name, (value, _) in paper.STABLE_DIFFUSION.items()}
    assert round(facts["input side"] / facts["rows"], 1) == facts["factor"]
