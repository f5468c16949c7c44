"""Whatever stands in a result file, a class list, a title or a name under results/, no page runs it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import DESKTOP, Browser, executable
from bs4 import BeautifulSoup
from markupsafe import Markup

from book.pages import field_since, ledger_page, protocol_pages, rendering, status_page
from proxyclip.explorer.document import fragment
from proxyclip.supplement import result_files
from proxyclip.supplement.claims import ledger as claims
from proxyclip.supplement.figures import tables
from proxyclip.supplement.figures.scene_pictures import Picture, SceneFigure
from proxyclip.supplement.records import Record, Result, Verdict

#: Runs wherever it is not escaped: in the text of an element, and in an attribute that it ends.
EVIL = """"'><img src=x onerror="document.title='ran'">"""
#: Which fields of a section's records are spoiled: all, or one that other code compares with known names.
SPOILED = {"E": ("vfm",), "F": ("setting",), "G": ("method",), "D": ("dataset",), "B": ("rule",)}
EVERY = ("dataset", "vfm", "rule", "method", "setting", "refinement", "over")


def spoiled(section: str) -> Result:
    """A result with the attack in its provenance, its verdicts and fields of its records."""
    record = Record(section, "tiny", "miou", 40.0, "%", "tiny/voc", "tiny_dino", "adaptive:1.2,3")
    fields = dict.fromkeys(SPOILED.get(section, EVERY), EVIL)
    verdicts, checks = ([Verdict(name, "does not hold", EVIL, EVIL) for name, held in among.items()
                         if held.section == section] for among in (claims.CLAIMS, claims.CHECKS))
    provenance = {"seconds": 1.0, "machine": EVIL, "device": EVIL, "finished": EVIL, "limit": 1, "code": EVIL,
                  "versions": {EVIL: EVIL}, "weights_sha256": {EVIL: EVIL}, "protocol": {EVIL: {EVIL: EVIL}}}
    return Result(section, "tiny", [replace(record, **fields)], verdicts, provenance, checks)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every part of a page that shows something from a file, from the spoiled results of two runs."""
    folder = tmp_path_factory.mktemp("spoiled")
    data, others, made = folder / "data", folder / "results", folder / "generated"
    for section in "ABCDEFG":
        for place in (data, others / EVIL.replace("/", "")):
            result_files.save(place / f"{section}.json", spoiled(section))
    ledger_page.write_pages(data, others, made)
    status_page.write_page(data, made, EVIL)
    found = {path.stem: path.read_text(encoding="utf-8") for path in made.glob("*.html")}
    run, more = spoiled("D"), {EVIL: spoiled("D")}
    frame = pd.DataFrame([[1.0, EVIL]], index=pd.Index([EVIL], name=EVIL), columns=[EVIL, f"{EVIL} 2"])
    row = dict.fromkeys(("setting", "card", "changed"), EVIL) | {"cost": 1.0, "error": 0.1, "miou": 9.0}
    planted = {"observed": 5.0, "explanations": [{"settings": [EVIL], "miou": 5.0, "error": 0.1, "distance": 0.1}]}
    diagnosis = {"settings": [row], "images": 1, "dataset": EVIL, "miou": 1.0, "error": 0.1, "rule": EVIL,
                 "card": {"name": EVIL}, "evaluations": 1.0, "left_out": {EVIL: EVIL}, "planted": planted}
    published = field_since.published().assign(
        **dict.fromkeys(("method", "venue", "clip", "reads", "source", "kind", "group", "note"), EVIL))
    picture = Picture(np.zeros((4, 4, 3), np.uint8), EVIL, EVIL)
    scene = {"title": EVIL, "image": "data:,", "classes": [EVIL], "note": EVIL}
    shown = {
        "verdicts": tables.verdicts(run), "checks": tables.own_checks(run), "runs": tables.runs(run, more),
        "table": tables.table(frame, EVIL), "note": tables.note(EVIL),
        "folded": tables.folded(EVIL, tables.note(EVIL)),
        "scene": SceneFigure((picture,), 1, ((EVIL, (0, 0, 0)),), EVIL, EVIL),
    }
    return {**found, **{key: one._repr_html_() for key, one in shown.items()},
            "diagnosis": protocol_pages.diagnosis_page(diagnosis), "field": field_since.table(published),
            "explorer": fragment([scene])}


def test_an_image_that_would_run_a_script_is_text_on_every_page(made: dict[str, str]) -> None:
    ran = {key: str(tag) for key, page in made.items()
           for tag in BeautifulSoup(page, "html.parser").select("[onerror], img[src=x]")}
    assert not ran
    assert sum(EVIL in BeautifulSoup(page, "html.parser").get_text() for page in made.values()) > 6, "shown as text"


def test_a_browser_runs_nothing_of_it(made: dict[str, str], tmp_path: Path) -> None:
    if executable() is None:
        pytest.skip("Chromium is not on PATH: the pages were not opened")
    body = "".join(made.values())
    page = tmp_path / "all.html"
    with Browser(tmp_path / "chromium") as browser:
        for content, title in ((body, "safe"), (body + f"<b {EVIL}</b>", "ran")):  # the second shows that it can
            page.write_text(f"<!doctype html><meta charset=utf-8><title>safe</title><body>{content}")
            browser.visit(page.as_uri(), DESKTOP)
            assert browser.evaluate("document.title") == title


def test_a_part_of_a_page_that_is_plain_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="the generated part news is str"):
        rendering.write_fragments(tmp_path, {"news": "<p>hello</p>"})  # type: ignore[dict-item]
    rendering.write_fragments(tmp_path, {"news": Markup("<p>hello</p>")})
    assert (tmp_path / "news.html").read_text() == "<p>hello</p>\n"
