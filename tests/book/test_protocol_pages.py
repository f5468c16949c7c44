"""The generated pages about the protocol: all cards, and sentences that follow from the record."""

import json
import shutil
from pathlib import Path

from book import drawn
from book.checkout import Layout
from book.pages import protocol_pages
from proxyclip.data.benchmarks import BENCHMARKS, VARIANTS
from proxyclip.data.protocol_card import published_card

RECORD = {
    "dataset": "tiny/voc", "card": {"name": "tiny/voc@1", "sha256": "0"}, "rule": "adaptive:1.2,3", "images": 24,
    "miou": 70.0, "error": 3.0, "evaluations": 2.5, "left_out": {"antialiasing": "images keep their size"},
    "settings": [
        {"setting": "stride", "card": "a", "changed": "b < c", "miou": 60.0, "cost": 10.0, "error": 2.0},
        {"setting": "prompts", "card": "d", "changed": "e", "miou": 75.0, "cost": -5.0, "error": 1.0},
        {"setting": "queries", "card": "f", "changed": "g", "miou": 69.9, "cost": 0.1, "error": 1.0},
    ],
    "planted": {"observed": 75.0, "explanations": [
        {"settings": ["prompts"], "miou": 75.0, "error": 1.0, "distance": 0.0}]},
}


def test_the_page_of_cards_names_every_card_with_its_words_and_hash():
    page = protocol_pages.cards_page()
    for name in (*BENCHMARKS, *VARIANTS):
        card = published_card(name)
        assert f">{card.name}</th>" in page and card.sha256[:16] in page
    assert "sky; wall; tree" in page and "threshold, vanilla" in page and "logit scale" in page


def test_the_sentences_of_the_diagnosis_follow_from_its_record():
    page = protocol_pages.diagnosis_page(RECORD)
    assert "70.0 ± 3.0" in page and "“stride” (b &lt; c): -10.0 points" in page
    assert "Of 3 settings that can be changed here, 2 move the number" in page and "1 of these raise it" in page
    assert "as 2.5 evaluations" in page and "+5.00 ± 1.00" in page and "images keep their size" in page


def test_the_diagnosis_runs_again_only_when_the_package_changed(tmp_path, repository_root: Path, monkeypatch):
    layout, runs = Layout(tmp_path), []
    layout.sources.mkdir()
    (tmp_path / "proxyclip").mkdir()
    (tmp_path / "proxyclip" / "text.py").write_text("a = 1\n")
    shutil.copy(repository_root / "book" / "what_moves_the_number.md", layout.sources)
    monkeypatch.setattr(protocol_pages, "_measured", lambda: runs.append(1) or dict(RECORD))
    monkeypatch.setattr(drawn, "DRAWINGS", ())

    def build() -> None:
        for job in drawn.jobs(layout):
            job.work()
        protocol_pages.write_protocol_pages(layout)

    build()
    build()
    assert len(runs) == 1
    (tmp_path / "proxyclip" / "text.py").write_text("a = 2\n")
    build()
    assert len(runs) == 2 and json.loads((layout.records / "diagnosis.json").read_text())["miou"] == 70.0
    assert (layout.sources / "generated" / "what_moves_the_number.html").is_file()
