"""Whatever stands in a result file, a class list, a title or a name under results/, no page runs it."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser, executable
from bs4 import BeautifulSoup
from markupsafe import Markup

from book.pages import field_since, ledger_page, protocol_pages, rendering, status_page
from proxyclip.explorer.document import fragment
from proxyclip.supplement import records as results
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.figures import other_runs, tables
from proxyclip.supplement.figures.scene_pictures import Picture, SceneFigure
from proxyclip.supplement.records import Record, Result, Verdict

#: Runs wherever it is not escaped: in the text of an element, and in an attribute that it ends.
EVIL = """"'><img src=x onerror="document.title='ran'">"""
#: Fields of a record that other code compares with known values; every one is also spoiled by itself.
KNOWN = ("section", "metric", "unit")


def spoiled(section: str, name: str | None = None) -> Result:
    """A result with the attack in one field of its records (``name``), or in every field that takes any text."""
    record = asdict(Record(section, "tiny", "miou", 40.0, "%", "tiny/voc", "tiny_dino", "adaptive:1.2,3"))
    text = [item.name for item in fields(Record) if isinstance(record[item.name], str) and item.name not in KNOWN]
    record |= dict.fromkeys([name] if name else text, EVIL)
    verdicts = [Verdict(claim, "does not hold", EVIL, EVIL, EVIL) for claim, held in claims.CLAIMS.items()
                if held.section == section]
    checks = [Verdict(claim, "holds", EVIL, EVIL, EVIL) for claim, held in claims.CHECKS.items()
              if held.section == section]
    provenance = {"seconds": 1.0, "machine": EVIL, "device": EVIL, "finished": EVIL, "limit": EVIL, "code": EVIL,
                  "versions": {EVIL: EVIL}, "weights_sha256": {EVIL: EVIL}, "protocol": {EVIL: {EVIL: EVIL}}}
    return Result(section, EVIL, [Record(**record)], verdicts, provenance, checks)


def pages(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str | None = None) -> dict[str, str]:
    """Every generated part that shows something from a file, from the spoiled results of two runs."""
    data, others, made = folder / "data", folder / "results", folder / "generated"
    other_run = others / f"{EVIL.replace('/', '')}"
    for section in "ABCDEFG":
        for place in (data, other_run):
            results.save(place / f"{section}.json", spoiled(section, name))
    ledger_page.write_pages(data, others, made)
    status_page.write_page(data, made, EVIL)
    found = {path.stem: path.read_text(encoding="utf-8") for path in made.glob("*.html")}
    run, more = spoiled("D", name), {EVIL: spoiled("D", name)}
    frame = pd.DataFrame([[1.0, EVIL]], index=pd.Index([EVIL], name=EVIL), columns=[EVIL, f"{EVIL} 2"])
    row = dict.fromkeys(("setting", "card", "changed"), EVIL) | {"cost": 1.0, "error": 0.1, "miou": 9.0}
    planted = {"observed": 5.0, "explanations": [{"settings": [EVIL], "miou": 5.0, "error": 0.1, "distance": 0.1}]}
    diagnosis = {"settings": [row], "images": 1, "dataset": EVIL, "miou": 1.0, "error": 0.1, "rule": EVIL,
                 "card": {"name": EVIL}, "evaluations": 1.0, "left_out": {EVIL: EVIL}, "planted": planted}
    published = pd.read_csv(field_since.PUBLISHED, keep_default_na=False).assign(
        **dict.fromkeys(("method", "venue", "clip", "reads", "source"), EVIL))
    picture = Picture(np.zeros((4, 4, 3), np.uint8), EVIL, EVIL)
    scene = {"title": EVIL, "image": "data:,", "classes": [EVIL], "note": EVIL}
    shown = {
        "verdicts": tables.verdicts(run), "checks": tables.own_checks(run), "runs": tables.runs(run, more),
        "beside": other_runs.beside(run, more), "plain": tables.plain(frame, EVIL), "note": tables.note(EVIL),
        "folded": tables.folded(EVIL, tables.note(EVIL)),
        "alternatives": tables.alternatives({EVIL: {"D1": run.verdicts[0]}}, EVIL),
        "scene": SceneFigure((picture,), 1, ((EVIL, (0, 0, 0)),), EVIL, EVIL),
    }
    return {**found, **{key: one._repr_html_() for key, one in shown.items()},
            "diagnosis": protocol_pages.diagnosis_page(diagnosis), "field": field_since.table(published),
            "explorer": fragment([scene])}


@pytest.mark.parametrize("name", [None, *(item.name for item in fields(Record) if item.name not in KNOWN
                                          and item.type in ("str", str))])
def test_an_image_that_would_run_a_script_is_text_on_every_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    made = pages(tmp_path, monkeypatch, name)
    ran = {key: str(tag) for key, page in made.items()
           for tag in BeautifulSoup(page, "html.parser").select("[onerror], img[src=x]")}
    assert not ran
    assert sum(EVIL in BeautifulSoup(page, "html.parser").get_text() for page in made.values()) > 6, "shown as text"


def test_a_browser_runs_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if executable() is None:
        pytest.skip("Chromium is not on PATH: the pages were not opened")
    body = "".join(pages(tmp_path, monkeypatch).values())
    page = tmp_path / "all.html"
    with Browser(tmp_path / "chromium") as browser:
        for content, title in ((body, "safe"), (body + f"<b {EVIL}</b>", "ran")):  # the second shows that it can
            page.write_text(f"<!doctype html><meta charset=utf-8><title>safe</title><body>{content}")
            browser.visit(page.as_uri())
            assert browser.evaluate("document.title") == title


def test_a_part_of_a_page_that_is_plain_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="the generated part news is str"):
        rendering.write_fragments(tmp_path, {"news": "<p>hello</p>"})  # type: ignore[dict-item]
    rendering.write_fragments(tmp_path, {"news": Markup("<p>hello</p>")})
    assert (tmp_path / "news.html").read_text() == "<p>hello</p>\n"
