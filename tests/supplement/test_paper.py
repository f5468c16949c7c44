"""The supplement's tables, checked against their own arithmetic."""

from decimal import ROUND_HALF_UP, Decimal

import pytest

from proxyclip.supplement import paper
from proxyclip.supplement.records import table


def half_up(values: tuple[float, ...]) -> float:
    """Mean of printed numbers, rounded to one decimal as by hand: binary floats would round 14.05 down."""
    mean = sum(Decimal(str(value)) for value in values) / len(values)
    return float(mean.quantize(Decimal("0.1"), ROUND_HALF_UP))


@pytest.mark.parametrize("rule", paper.TABLE_3)
def test_the_averages_of_table_3_follow_from_its_columns(rule: str) -> None:
    *columns, average = paper.TABLE_3[rule]
    assert len(columns) == 8
    assert half_up(tuple(columns)) == average


@pytest.mark.parametrize("row", paper.TABLE_4, ids=lambda row: row.method)
def test_the_averages_of_table_4_follow_from_its_columns(row: paper.TableFourRow) -> None:
    *columns, average = row.values
    assert half_up(tuple(columns)) == average


def test_the_factor_of_section_a_is_the_window_over_the_feature_map() -> None:
    facts = {name: value for name, (value, _) in paper.STABLE_DIFFUSION.items()}
    assert round(facts["input side"] / facts["rows"], 1) == facts["factor"]


def test_tables_2_and_3_agree_where_they_report_the_same_experiment() -> None:
    stuff = paper.TABLE_3_COLUMNS.index("Stuff")
    assert paper.TABLE_2["DINO"][-1] == paper.TABLE_3["adaptive:1.2,3"][stuff]


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


def test_every_number_stands_in_the_supplement(repository_root) -> None:
    """Each value, as printed, occurs in the text; a typing error would have to hit another number."""
    source = repository_root.parent / "shared" / "paper" / "supplement.md"
    if not source.is_file():
        pytest.skip("the supplement's text is not here")
    text = source.read_text(encoding="utf-8")
    for method, row in paper.TABLE_1.items():
        assert "\t".join([method, *(f"{value:g}" for value in row)]) in text
    for vfm, row in paper.TABLE_2.items():
        assert "\t".join([vfm, *(f"{value:.1f}" for value in row)]) in text
    names = {"qk": "*q-k*", "qq": "*q-q*", "kk": "*k-k*", "adaptive:1.2,3": "Proxy"}
    for rule, row in paper.TABLE_3.items():
        printed = "\t".join([names[rule], *(f"{value:.1f}" for value in row)])
        assert printed.replace("*", "") in text.replace("<i>", "").replace("</i>", "").replace("*", "")
    for row in paper.TABLE_4:
        assert "\t".join(f"{value:.1f}" for value in row.values) in text
