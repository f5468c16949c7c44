"""Figures, tables and generated pages: complete, alt_text in words, and never without their source."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from proxyclip.book import ledger_page as ledger
from proxyclip.data.base import Sample
from proxyclip.supplement import paper
from proxyclip.supplement import records as results
from proxyclip.supplement.chapters import c_efficiency as cost
from proxyclip.supplement.chapters.d_hard_masking import along_alpha
from proxyclip.supplement.chapters.g_qualitative import Panel, comparison
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.figures import plots, tables
from proxyclip.supplement.figures import scores as figures
from proxyclip.supplement.figures.palette import METHOD_COLOURS, VFM_COLOURS
from proxyclip.supplement.records import Record, Result, table
from proxyclip.text import Vocabulary

CURVE = pd.Series([20.0, 30.0, 25.0], index=[0.0, 0.4, 0.8])


def result(section: str = "E", profile: str = "tiny") -> Result:
    rules = {"vanilla": "", "qk": "", "qq": "", "kk": "", "adaptive:1.2,3": "tiny_sam"}
    records = [Record(section, profile, "miou", 30.0 + number, "%", "tiny/voc", vfm, rule)
               for number, (rule, vfm) in enumerate(rules.items())]
    return Result(section, profile, records, list(claims.judge(records, section).values()), {"machine": "a machine"})


def test_every_panel_has_its_own_text_and_the_figure_its_caption() -> None:
    panel = plots.lines({"SAM": CURVE}, VFM_COLOURS, "x", "y", "t")
    page = plots.show([panel, panel], "A caption (profile tiny, 2 scenes).", ["First.", "Second."])._repr_html_()
    assert re.findall(r'alt="([^"]+)"', page) == ["First.", "Second."]
    assert "<figcaption>A caption (profile tiny, 2 scenes).</figcaption>" in page
    assert "max-width:100%" in page and 'src="data:image/png;base64,' in page


@pytest.mark.parametrize(("caption", "alt"), [("", "text"), ("caption", ""), ("caption", ["one", ""])])
def test_a_figure_without_words_is_refused(caption: str, alt: str | list[str]) -> None:
    panel, _ = plots.panel("t")
    with pytest.raises(ValueError, match="needs a caption"):
        plots.show([panel] * (1 if isinstance(alt, str) else 2), caption, alt)


def test_labels_at_the_ends_of_lines_do_not_overlap() -> None:
    curves = {name: CURVE + shift for name, shift in (("SAM", 0.0), ("MAE", 0.01), ("DINO", 0.02))}
    panel = plots.lines(curves, VFM_COLOURS, "x", "y", "t")
    panel.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in panel.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 3
    assert all(lower.y1 <= upper.y0 + 1 for lower, upper in zip(boxes, boxes[1:], strict=False))


def test_the_papers_values_are_drawn_thin_and_grey() -> None:
    panel = plots.lines({"SAM": CURVE}, VFM_COLOURS, "x", "y", "t", paper={"paper": CURVE - 5})
    drawn = {line.get_color(): line.get_linewidth() for line in panel.axes[0].lines}
    assert drawn["#6E6E6E"] < 1 < drawn[VFM_COLOURS["SAM"]]


def test_chapter_figures_tell_their_numbers() -> None:
    frame = table(result().records)
    wide = frame.pivot_table(index="dataset", columns="method", values="value", sort=False)
    alt_text = figures.by_set(wide, pd.DataFrame(), "t", "profile tiny").alts[0]
    assert alt_text == "tiny/voc: ProxyCLIP highest with 34.0."
    values = {"hard:0.2": 30.2, "hard:0.6": 30.6, "adaptive:1.2,3": 33.0}
    swept = table(Record("D", "tiny", "miou", value, "%", "tiny/stuff", "tiny_sam", rule)
                  for rule, value in values.items())
    assert along_alpha(swept, "profile tiny").alts == ("SAM: best 30.6 at alpha 0.6, adaptive 33.0.",)
    assert set(wide.columns) <= set(METHOD_COLOURS)


def test_a_matrix_gives_measured_paper_and_difference_in_every_cell() -> None:
    measured = pd.DataFrame({"VOC": [30.0], "City": [np.nan]}, index=["q-k"])
    printed = pd.DataFrame({"VOC": [34.0], "City": [15.7]}, index=["q-k"])
    page = tables.matrix(measured, printed, "mIoU.").to_html()
    assert page.count("<td>") == 2
    assert "<b>30.0</b>" in page and ">34.0<" in page and "-4.0" in page and "<b>–</b>" in page and ">15.7<" in page


def test_text_from_records_cannot_break_a_page() -> None:
    frame = pd.DataFrame({"a": ["<script>"]}, index=["x & y"])
    page = tables.plain(frame, "1 < 2").to_html()
    assert "<script>" not in page and "x &amp; y" in page and "1 &lt; 2" in page


def test_verdicts_stand_beside_those_of_the_papers_own_tables() -> None:
    page = tables.verdicts(result(), claims.judge(paper.published("E"), "E")).to_html()
    assert page.count("✓ holds") >= 3 and "measured (profile tiny)" in page and "38.2" in page


def test_other_runs_appear_beside_this_one_and_nothing_where_there_are_none() -> None:
    assert tables.runs(result(), {}) is None
    page = tables.runs(result(), {"h100": result(profile="paper")}).to_html()
    assert "this run (tiny)" in page and "h100 (paper)" in page and "miou, tiny/voc, ProxyCLIP" in page


def test_the_ledger_lists_every_claim_for_every_source(tmp_path: Path) -> None:
    results.save(tmp_path / "data" / "E.json", result())
    results.save(tmp_path / "others" / "h100" / "E.json", result(profile="paper"))
    ledger.write_pages(tmp_path / "data", tmp_path / "others", tmp_path / "pages")
    page = (tmp_path / "pages" / "claims_table.html").read_text()
    assert all(f"<th>{name}</th>" in page for name in claims.CLAIMS)
    assert "this book (profile tiny)" in page and "h100 (profile paper)" in page
    assert page.count("its chapter has not been run") == len(claims.CLAIMS) - 3, "of the book's own run alone"
    status = (tmp_path / "pages" / "status_table.html").read_text()
    assert "the paper&#x27;s own tables" in status
    assert "full width, cosine" in (tmp_path / "pages" / "reading_costs.html").read_text()
    assert "has not been run (F)" in (tmp_path / "pages" / "readout_costs.html").read_text()


def test_pages_that_did_not_change_are_not_written_again(tmp_path: Path) -> None:
    ledger.write_pages(tmp_path / "data", tmp_path / "others", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.html")}
    ledger.write_pages(tmp_path / "data", tmp_path / "others", tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.html")} and len(before) == 5


def test_an_axis_of_costs_has_labels_even_within_a_decade() -> None:
    rows = pd.DataFrame({"flops": [0.19, 0.42], "miou": [47.0, 57.0], "vfm": "tiny_dino"}, index=["a", "b"])
    (panel,) = cost.accuracy_figure(rows, "profile tiny").panels
    panel.canvas.draw()
    low, high = panel.axes[0].get_xlim()
    assert sum(low <= tick <= high for tick in panel.axes[0].get_xticks()) >= 2


def test_a_figure_of_wide_scenes_is_no_wider_than_one_of_square_ones() -> None:
    def drawn(width: int) -> float:
        labels = np.zeros((32, width), dtype=np.int64)
        scene = Sample("scene", Image.new("RGB", (width, 32)), labels)
        panel = Panel(scene, {"vanilla": labels})
        return comparison([panel], Vocabulary.parse(["sky"]), {"vanilla": "CLIP"}, 3).get_figwidth()

    assert drawn(64) <= drawn(32)
