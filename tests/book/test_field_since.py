"""The published numbers after ProxyCLIP: means, sources, notes, and what the page says of them."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from book.pages import field_since
from book.pages.field_since import SETS, SOURCES

FRAME = field_since.published()


def test_every_mean_is_the_mean_of_its_row_or_says_so() -> None:
    raw = pd.read_csv(field_since.PUBLISHED)
    for row, (_, printed) in zip(FRAME.itertuples(), raw.iterrows(), strict=True):
        mean = sum(printed[name] for name in SETS) / 8
        assert row.mean == pytest.approx(mean)
        if pd.notna(printed["printed_mean"]) and abs(mean - printed["printed_mean"]) > 0.0501:
            assert f"prints the mean {printed['printed_mean']:.1f}" in row.note
        else:
            assert "prints the mean" not in row.note


def test_every_row_names_a_known_source_and_kind() -> None:
    assert set(FRAME["source"]) <= set(SOURCES) and FRAME["group"].notna().all()
    page = BeautifulSoup(field_since.table(FRAME), "html.parser")
    rows = page.select("tbody tr")
    assert len(rows) == len(FRAME) and all(row.select_one("a[href^=https]") for row in rows)


def test_rows_about_which_two_sources_disagree_are_marked() -> None:
    marked = FRAME[FRAME["note"].str.contains("other numbers")]
    assert set(marked["method"]) == {"CLIP", "TCL", "SFP"}
    assert FRAME.loc[FRAME["method"] == "ProxyCLIP", "note"].str.contains("other numbers").sum() == 0, "other models"


def test_the_page_names_the_methods_that_are_ahead(repository_root) -> None:
    text = (repository_root / "book" / "field_since.md").read_text(encoding="utf-8").replace("\n", " ")
    best = FRAME.loc[FRAME.groupby("group")["mean"].idxmax()].set_index("group")
    first, clip = best.loc["trained on masks and words"], best.loc["CLIP + masks"]
    assert FRAME["mean"].max() == first["mean"] and f"{first['method']}, which" in text
    assert f"mean of {first['mean']:.1f}" in text and f"{clip['method']} is first with {clip['mean']:.1f}" in text
    assert f"best printed mean is {FRAME.loc[FRAME['method'] == 'ProxyCLIP', 'mean'].max():.1f}" in text
