"""The 128 values of Tables 1 to 4 on the built pages, against the supplement's text where it is at hand."""

import re

import pytest
from bs4 import BeautifulSoup

from book.checkout import Layout
from proxyclip.supplement.chapters.notebooks import find_root
from proxyclip.supplement.figures import printed

SUPPLEMENT = find_root().parent / "shared" / "paper" / "supplement.md"
PAGES = {1: "C_efficiency", 2: "D_hard_masking", 3: "E_attention_variants", 4: "F_large_vocabularies"}
#: Rows, and columns of numbers.
SHAPES = {1: (5, 4), 2: (4, 6), 3: (4, 9), 4: (16, 3)}

Row = tuple[str, ...]


def supplement_table(number: int) -> list[Row]:
    """Rows of a table in the supplement's text, cells as printed."""
    if not SUPPLEMENT.is_file():
        pytest.skip("the supplement's text is not beside the repository (../shared/paper/supplement.md)")
    text = SUPPLEMENT.read_text(encoding="utf-8")
    block = text[text.index(f"Table {number}: ") :].split("\n\n")[1]
    cells = [tuple(re.sub(r"</?i>", "", cell).strip() for cell in line.split("\t")) for line in block.splitlines()]
    return [row for row in cells if sum(bool(re.fullmatch(r"[\d.]+", cell)) for cell in row[1:]) > 1 and row[0] != "α"]


def page_table(html: str, number: int) -> list[Row]:
    """Rows of the printed table of a page, without the groups' headings."""
    (table,) = BeautifulSoup(html, "html.parser").find_all("table", attrs={"data-table": str(number)})
    rows = [tuple(cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"]))
            for row in table.tbody.find_all("tr")]
    return [row for row in rows if any(row[1:])]


def numbers(rows: list[Row]) -> list[list[float]]:
    return [[float(cell) for cell in row[1:] if re.fullmatch(r"\d+(\.\d+)?", cell)] for row in rows]


@pytest.mark.parametrize("number", PAGES)
def test_a_printed_table_is_complete_and_equals_the_supplement(number: int) -> None:
    table = (printed.table_1, printed.table_2, printed.table_3, printed.table_4)[number - 1]()
    ours, theirs = page_table(table.to_html(), number), supplement_table(number)
    assert (len(ours), len(numbers(ours)[0])) == SHAPES[number]
    assert numbers(ours) == numbers(theirs)
    assert [row[0].replace(" ", "") for row in ours] == [row[0].replace(" ", "") for row in theirs]


def test_table_4_has_the_venues_and_marks_of_the_supplement() -> None:
    ours, theirs = page_table(printed.table_4().to_html(), 4), supplement_table(4)
    assert [row[1:3] for row in ours] == [row[1:3] for row in theirs]


@pytest.mark.book
def test_all_128_values_are_on_the_pages_as_in_the_supplement(layout: Layout) -> None:
    total = 0
    for number, name in PAGES.items():
        html = (layout.index.parent / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
        shown = numbers(page_table(html, number))
        assert shown == numbers(supplement_table(number)), name
        total += sum(map(len, shown))
    assert total == 128
