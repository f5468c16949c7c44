"""Figures, tables and generated pages are complete, say in words what they show, and name their source."""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn
from bs4 import BeautifulSoup

from book.drawings.palette_sheet import style_sheet
from book.pages import ledger_page as ledger
from book.pages.ledger_page import Source
from proxyclip.supplement import figures as chapter_figures, records as results, result_files
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.figures import layout, palette, scene_pictures, tables
from proxyclip.supplement.figures.palette import FAMILIES, METHODS
from proxyclip.supplement.records import Record, Result, Verdict
from proxyclip.text import Vocabulary


def result(section: str = "E", profile: str = "tiny") -> Result:
    rules = {"vanilla": "", "qk": "", "qq": "", "kk": "", "adaptive:1.2,3": "tiny_sam"}
    records = [Record(section, profile, "miou", 30.0 + number, "%", "tiny/voc", vfm, rule)
               for number, (rule, vfm) in enumerate(rules.items())]
    return Result(section, profile, records, list(claims.judge(records, section).values()), {"machine": "a machine"})


def test_a_figure_of_a_notebook_has_one_legend_and_stands_in_one_column_on_a_phone() -> None:
    chapter_figures.theme()
    rows = pd.DataFrame({"x": [0, 1, 0, 1], "y": [1.0, 2.0, 2.0, 1.0], "label": ["SAM", "SAM", "MAE", "MAE"]})
    figure, both = plt.subplots(1, 2)
    for axes in both:
        seaborn.lineplot(rows, x="x", y="y", hue="label", style="label", ax=axes,
                         **chapter_figures.styles(rows["label"]))
    page = chapter_figures.captioned(figure, "A caption.", "Two crossing lines.")._repr_html_()
    sizes = [tuple(map(float, pair)) for pair in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)', page)]
    assert [width for width, _ in sizes] == [layout.COLUMN, layout.PHONE] and sizes[1][1] == 2 * sizes[0][1]
    assert page.count(">SAM</text>") == page.count(">MAE</text>") == 2
    assert f"var(--figure-sam, {palette.style_of('SAM').light})" in page and not plt.get_fignums()
    with pytest.raises(ValueError, match="needs a caption"):
        chapter_figures.captioned(plt.figure(), " ", "Text.")
    plt.close("all")


def test_no_id_occurs_twice_in_figures_of_one_page_and_their_text_names_every_line_with_its_range() -> None:
    page = "".join(layout.captioned(drawn_by_seaborn(), "A caption.", *alt).page for alt in (["A."], []))
    ids = re.findall(r' id="([^"]+)"', page)
    assert ids and len(ids) == len(set(ids))
    assert {name for name in re.findall(r'href="#([^"]+)"', page)} <= set(ids)
    assert "DINO from 2.0 to 3.0" in page and "SAM from 4.0 to 5.0" in page


def contrast(first: str, second: str) -> float:
    """Of two colours, after the definition of WCAG 2."""
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("styles", [METHODS, FAMILIES, palette.DATA_SETS, palette.MEASURES],
                         ids=["methods", "families", "sets", "measures"])
def test_every_colour_can_be_read_as_text_on_both_pages(styles: dict[str, palette.Style]) -> None:
    poor = [name for name, style in styles.items()
            if min(contrast(style.light, "#ffffff"), contrast(style.dark, "#14181e")) < 4.5]
    assert not poor


def test_no_two_names_share_colour_and_marker() -> None:
    styles = [*METHODS.values(), *FAMILIES.values(), *palette.DATA_SETS.values(), *palette.MEASURES.values()]
    assert len({(style.light, style.marker) for style in styles}) == len(styles)
    assert len({style.light for style in styles}) == len(styles), "the light colour names the variable"
    assert palette.style_of("tiny_dino8").light == palette.style_of("tiny_dino").light
    assert palette.style_of("tiny_dino8").marker != palette.style_of("tiny_dino").marker


def test_the_style_sheet_is_that_of_the_palette() -> None:
    """After a change: python -m book.drawings.palette_sheet > book/_static/palette.css"""
    sheet = Path(__file__).parents[3] / "book" / "_static" / "palette.css"
    assert sheet.read_text(encoding="utf-8") == style_sheet()


def test_verdicts_stand_beside_those_of_the_papers_own_tables() -> None:
    page = tables.verdicts(result()).to_html()
    assert page.count("✓\u00a0holds") >= 3 and "measured (profile tiny)" in page and "38.2" in page


def test_the_ledger_lists_every_claim_for_every_source(tmp_path: Path) -> None:
    result_files.save(tmp_path / "data" / "E.json", result())
    result_files.save(tmp_path / "others" / "h100" / "E.json", result(profile="paper"))
    ledger.write_pages(tmp_path / "data", tmp_path / "others", tmp_path / "pages")
    page = (tmp_path / "pages" / "claims_table.html").read_text()
    assert all(f'<th scope="row">{name}</th>' in page for name in claims.CLAIMS)
    assert "this book (profile tiny)" in page and "h100 (profile paper)" in page
    assert page.count("its chapter has not been run") == len(claims.CLAIMS) - 3, "of the book's own run alone"
    picture = (tmp_path / "pages" / "claims_picture.html").read_text()
    assert '<th scope="row">all claims</th>' in picture
    judged = {claim.section for claim in claims.CLAIMS.values()}  # chapter H has checks, but no claim of the supplement
    assert all(f'href="notebooks/{page}.html#verdicts"' in picture
               for section, (_, page) in ledger.chapters().items() if section in judged)
    marks = 2 * len(claims.CLAIMS) + 3  # printed, this book, and what another run judged
    assert picture.count('<a class="mark ') == marks
    assert "full width, cosine" in (tmp_path / "pages" / "reading_costs.html").read_text()
    assert "has not been run (F)" in (tmp_path / "pages" / "readout_costs.html").read_text()


def under(card: str, sha256: str, profile: str = "tiny") -> results.Result:
    """A result whose set was evaluated under a card."""
    return replace(result(profile=profile), provenance={"cards": {"tiny/voc": {"name": card, "sha256": sha256}}})


def test_a_table_says_when_its_runs_used_different_protocols(tmp_path: Path) -> None:
    own, changed = under("tiny/voc@1", "a"), under("tiny/voc@1, changed: stride", "b")
    said = "tiny/voc was evaluated under different protocols, so its values are not comparable"
    page = tables.runs(own, {"cluster": changed}).to_html()
    assert said in page and "tiny/voc@1 (this run (tiny)); tiny/voc@1, changed: stride (cluster (tiny))" in page
    assert said not in tables.runs(own, {"cluster": own}).to_html()
    assert "no card in the file (cluster (tiny))" in tables.runs(own, {"cluster": result()}).to_html()
    other_package = tables.runs(own, {"cluster": under("tiny/voc@1", "b")}).to_html()  # the same name, another hash
    assert "tiny/voc@1 (this run (tiny)); tiny/voc@1 (cluster (tiny))" in other_package
    for name, other in (("equal", own), ("different", changed)):
        folder = tmp_path / name
        result_files.save(folder / "data" / "E.json", own)
        result_files.save(folder / "others" / "cluster" / "E.json", other)
        ledger.write_pages(folder / "data", folder / "others", folder)
        for table_of in ("claims_table", "claims_picture"):
            page = (folder / f"{table_of}.html").read_text().replace("&#x27;", "'")
            assert ("Tiny/voc was evaluated under different protocols" in page) == (name == "different")


def test_a_value_beside_other_runs_is_the_mean_over_the_seeds_of_one_rule() -> None:
    one = Record("E", "tiny", "miou", 40.0, "%", "tiny/voc", rule="identity", method="ProxyCLIP", seed=0)
    other = replace(one, value=70.0, rule="adaptive:1.2,3")
    run = replace(result(), records=[one, replace(one, value=60.0, seed=1), other])
    page = BeautifulSoup(tables.runs(run, {"cluster": run}).to_html(), "html.parser")
    rows = [[cell.text for cell in row.find_all(["td", "th"])] for row in page.find_all("tr")]
    assert ["miou, tiny/voc, ProxyCLIP, identity, %", "50.00", "50.00"] in rows
    assert ["miou, tiny/voc, ProxyCLIP, adaptive:1.2,3, %", "70.00", "70.00"] in rows


def test_pages_that_did_not_change_are_not_written_again(tmp_path: Path) -> None:
    ledger.write_pages(tmp_path / "data", tmp_path / "others", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.html")}
    ledger.write_pages(tmp_path / "data", tmp_path / "others", tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.html")} and len(before) == 7


def test_a_scene_names_every_class_that_is_visible_and_how_much_is_wrong() -> None:
    truth = np.zeros((48, 48), dtype=np.int64)
    truth[:, 24:] = 1
    wrong = truth.copy()
    wrong[:6, :6] = 2
    figure = scene_pictures.comparison(np.full((48, 48, 3), 90, np.uint8), truth, {"CLIP": wrong, "ProxyCLIP": truth},
                               Vocabulary.parse(["sky", "sand", "boat", "car"]), "A scene.")
    assert [name for name, _ in figure.names] == ["sand", "sky", "boat"]
    assert [picture.title for picture in figure.pictures[1:6]] == [
        "ground truth", "the framed part", "CLIP: 2 % wrong", "wrong pixels", "the framed part"]


def test_the_close_up_is_taken_where_predictions_differ_at_a_boundary() -> None:
    truth = np.zeros((96, 96), dtype=np.int64)
    truth[:, 48:] = 1
    other = truth.copy()
    other[70:90, 40:48] = 1
    top, left, high, wide = scene_pictures.boundary_window(truth, [truth, other], share=0.375)
    assert (high, wide) == (36, 36)
    assert top <= 70 and top + high >= 90 and left <= 40 and left + wide >= 48


def test_the_claims_that_fail_are_listed_with_their_figures() -> None:
    failed = Verdict("G2", "does not hold", "With tiny_dino: 1 < 2.", "tiny_dino")
    held = Verdict("G1", "holds", "Yes.")
    also = Verdict("G2", "does not hold", "With tiny_sam: 3 < 4.", "tiny_sam")
    own, other = Source("this book", "tiny"), Source("this book", vfm="tiny_sam")
    page = ledger.failed_claims({ledger.PRINTED: {}, own: {"G1": held, "G2": failed}, other: {"G2": also}})
    assert page.count("<li>") == 1 and "with tiny_dino, tiny_sam" in page
    assert "With tiny_dino: 1 &lt; 2. With tiny_sam: 3 &lt; 4." in page
    assert "G_qualitative.html#verdicts" in page and "No claim fails" in ledger.failed_claims({})


# ------------------------------------------------------------------------------------------------ drawn in a notebook


def drawn_by_seaborn(**panels: str):
    import seaborn as sns

    layout.theme()
    frame = pd.DataFrame({"x": [1, 2] * 4, "mIoU": np.arange(8.0), "label": ["DINO", "DINO", "SAM", "SAM"] * 2,
                          "set": ["tiny/voc"] * 4 + ["tiny/street"] * 4})
    return sns.relplot(frame, x="x", y="mIoU", hue="label", style="label", kind="line", height=3,
                       **layout.styles(frame["label"]), **panels)


def test_a_grid_of_seaborn_keeps_the_colours_of_the_book_and_its_legend() -> None:
    page = layout.captioned(drawn_by_seaborn(col="set"), "mIoU in %, 2 <images>.").page
    assert "mIoU in %, 2 &lt;images&gt;." in page
    for name in ("DINO", "SAM"):
        assert page.count(f"var(--figure-{name.lower()}, {palette.style_of(name).light})") >= 4
        assert page.count(f">{name}</text>") == 2, "once on a wide page and once on a phone"


def test_a_table_escapes_every_text_and_writes_errors_behind_values() -> None:
    frame = pd.DataFrame({"<a>": [1.234, np.nan]}, index=pd.Index(["<b>", "c"], name="<i>"))
    found = tables.table(frame, "of <d>", errors=pd.DataFrame({"<a>": [0.5]}, index=["<b>"])).page
    assert "1.23 ±\u00a00.50" in found and "–" in found and "<caption>of &lt;d&gt;</caption>" in found
    assert not {"<a>", "<b>", "<i>", "<d>"} & set(re.findall(r"<\w+>", found))


def test_a_table_of_two_levels_names_both_and_leaves_whole_numbers_whole() -> None:
    index = pd.MultiIndex.from_tuples([("SAM", "tiny/voc"), ("SAM", "tiny/street")], names=["label", "dataset"])
    found = tables.table(pd.DataFrame({"images": [8, 16]}, index=index), "c").page
    cells = re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", found)
    assert cells == ["label", "dataset", "images", "SAM", "tiny/voc", "8", "SAM", "tiny/street", "16"]
