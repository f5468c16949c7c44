"""Tables 1 to 4 as they are shown: every cell as the supplement prints it."""

import pytest
from bs4 import BeautifulSoup
from printed_tables import printed

from book.checkout import Layout
from proxyclip.supplement.figures import printed as tables

PAGES = {1: "C_efficiency", 2: "D_hard_masking", 3: "E_attention_variants", 4: "F_large_vocabularies"}


def shown(html: str, number: int) -> list[list[str]]:
    """Rows of the printed table of a page, without the groups' headings."""
    (table,) = BeautifulSoup(html, "html.parser").find_all("table", attrs={"data-table": str(number)})
    rows = [[cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])]
            for row in table.tbody.find_all("tr")]
    return [row for row in rows if any(row[1:])]


@pytest.mark.parametrize("number", PAGES)
def test_a_printed_table_is_that_of_the_supplement(number: int) -> None:
    assert shown(getattr(tables, f"table_{number}")().to_html(), number) == printed(number)


@pytest.mark.book
def test_all_128_values_are_on_the_pages_as_in_the_supplement(layout: Layout) -> None:
    pages = {number: (layout.index.parent / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
             for number, name in PAGES.items()}
    assert {number: shown(html, number) for number, html in pages.items()} == {n: printed(n) for n in PAGES}
    assert sum(cell.replace(".", "").isdigit() for n in PAGES for row in printed(n) for cell in row) == 128
