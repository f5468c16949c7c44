"""Tables of the book's pages on a phone, and signatures and descriptions of the interface."""

import ast
import inspect
import re

import pandas as pd
import pytest

from book.sphinx_extension import keep_together, narrow_page, readable, whole_sentence
from proxyclip import ProxyCLIP
from proxyclip.supplement.figures import tables

BOX = '<div class="pst-scrollable-table-container">'


def markdown_table(heads: list[str], rows: list[list[str]]) -> str:
    top = "".join(f'<th class="head"><p>{head}</p></th>' for head in heads)
    body = "".join(f"<tr>{''.join(f'<td><p>{cell}</p></td>' for cell in row)}</tr>\n" for row in rows)
    table = f'<table class="table">\n<thead>\n<tr>{top}</tr>\n</thead>\n<tbody>\n{body}</tbody>\n</table>'
    return f"{BOX}{table}\n</div>"


def test_a_table_of_words_has_the_heading_of_its_column_in_every_cell() -> None:
    page = narrow_page(markdown_table(["rule", "attention"], [["SCLIP", "the softmax of two <em>products</em>"]]))
    assert page.startswith('<div class="table-box cards">') and BOX not in page
    assert re.search(r'<td [^>]*data-label="attention"[^>]*><div><p>the softmax of two <em>products</em>', page)
    assert page.endswith("</table></div>")


def test_a_table_of_numbers_that_fits_on_a_phone_stays_one() -> None:
    page = narrow_page(markdown_table(["size", "G"], [["336", "41.6"], ["448", "77.0"]]))
    assert page.startswith('<div class="table-box numbers">') and "data-label" not in page


@pytest.mark.parametrize(("rows", "kind"), [(3, "cards figures"), (9, "numbers wide")])
def test_a_table_of_many_columns_scrolls_unless_it_has_few_rows(rows: int, kind: str) -> None:
    sets = [f"tiny/{name}" for name in ("voc", "context", "object", "stuff", "street", "indoor", "longtail")]
    page = narrow_page(markdown_table(["method", *sets], [[f"method {row}", *["12.3"] * 7] for row in range(rows)]))
    assert page.startswith(f'<div class="table-box {kind}"')
    assert ("tabindex" in page) == kind.endswith("wide") and "tiny/<wbr/>voc" in page


def test_tables_of_notebooks_and_of_the_book_are_treated_alike() -> None:
    frame = pd.DataFrame({"mIoU": [12.3]}, index=["q-q"])
    page = narrow_page(tables.plain(frame, "mIoU in %.").to_html())
    assert '<div class="table-box numbers"><table class="table dataframe">' in page
    assert "<caption>mIoU in %.</caption>" in page and page.endswith("</table></div></div>")


def test_everything_around_a_table_is_unchanged() -> None:
    before, after = "<p>a &amp; b<br></p><div class='x'>", "</div><pre>  kept\n</pre>"
    page = narrow_page(before + markdown_table(["n"], [["1"]]) + after)
    assert page.startswith(before) and page.endswith(after) and page.count("</div>") == 2


def test_a_name_that_several_rows_share_is_shown_once() -> None:
    rows = [["ninth", "rows", "22"], ["ninth", "channels", "1280"], ["third", "rows", "22"]]
    page = narrow_page(markdown_table(["block", "fact", "paper"], rows))
    assert page.count("ninth") == 1 and page.count("third") == 1 and page.count('rowspan="2"') == 1


@pytest.mark.parametrize(("whole", "broken"), [("22 x 22", "not stated"), ("(1,\u00a02)", "(1, 2)")])
def test_sizes_and_no_break_spaces_keep_a_cell_on_one_line(whole: str, broken: str) -> None:
    page = narrow_page(markdown_table(["block", "map"], [["middle", whole], ["last", broken]]))
    assert f'<td class="whole"><p>{whole}' in page and f"<td><p>{broken}" in page


def test_a_path_may_break_after_its_slashes() -> None:
    page = narrow_page(markdown_table(["set", "folder"], [["voc", "<code>JPEGImages/val2017/labels</code>"]]))
    assert "<code>JPEGImages/<wbr/>val2017/<wbr/>labels</code>" in page


def test_an_empty_cell_has_no_label_to_show() -> None:
    rows = [["alpha", "threshold of hard masking", ""], ["F", "patch features of the model", "N x C"]]
    page = narrow_page(markdown_table(["symbol", "meaning", "shape"], rows))
    assert re.search(r'<td [^>]*data-label="shape"[^>]*></td>', page)


def test_a_number_and_its_unit_stay_on_one_line_and_code_is_unchanged():
    page = keep_together("<p>51.1 ± 1.6 and 44 % of <code>60 % 7</code></p><pre>x = 5 % 3</pre><p>3 % more</p>")
    assert page == ("<p>51.1 ±\u00a01.6 and 44\u00a0% of <code>60 % 7</code></p><pre>x = 5 % 3</pre>"
                    "<p>3\u00a0% more</p>")


@pytest.mark.parametrize(("kind", "mark"), [("data", ": "), ("function", "")])
def test_a_colon_in_the_description_of_a_constant_ends_no_type(kind, mark):
    lines = ["Chapters that measure speed: nothing runs beside them."]
    whole_sentence(kind, lines)
    assert lines == [f"{mark}Chapters that measure speed: nothing runs beside them."]


def test_the_signature_of_a_dataclass_is_python() -> None:
    raw = str(inspect.signature(ProxyCLIP))
    assert "<factory>" in raw
    with pytest.raises(SyntaxError):
        ast.parse(f"def f{raw}: ...")
    ast.parse(f"def f{readable(raw)}: ...")
    assert readable(None) is None
