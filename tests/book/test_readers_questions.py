"""Questions of a reader: twelve are answered within a screen and a half of a page, four within one, a click away."""

import json
from pathlib import Path

import pytest
from browser import Browser

from book.checkout import Layout

pytestmark = pytest.mark.book

SIZE = (1280, 800)
#: A screen and a half, CSS pixels.
DEEPEST = 1.5 * SIZE[1]
PLACE = Path(__file__).with_name("answer_place.js")

#: Question -> page, and a pattern that its answer's text has.
QUESTIONS = {
    "What is S?": ("method", r"holds the cosine similarity of every two patches"),
    "What does beta do?": ("method", r"sets the mask: only entries of at least"),
    "What does gamma do?": ("method", r"sets how sharply the kept entries are weighted"),
    "Why is there a mask?": ("method", r"a softmax gives every patch some weight"),
    "What is the identity control?": ("method", r"The identity control gives each patch its own value"),
    "Which claim fails on tiny, by how much, and where is why?": (
        "claims", r"Each leads to its chapter, which discusses why:.*[A-G]\d.*: .*\d"),
    "Which foundation model is best on tiny?": ("notebooks/D_hard_masking", r"\S+ is the best of them, with \d+\.\d"),
    "How do I segment my own photo?": ("rerun", r"proxyclip segment photo\.jpg --classes"),
    "What does Table 2 print for DINO?": (
        "notebooks/D_hard_masking", r"DINO has its best, 25\.8, at a threshold of 0\.4"),
    "What does a protocol card fix?": ("protocol_cards", r"how an image is resized, where its windows lie"),
    "What does make book need, and how long does it take?": (
        "rerun", r"needs Python 3\.11 or newer and about 2 GB.*took \d+ minutes"),
    "How do I run a chapter on real weights?": ("rerun", r"papermill notebooks/\S+ out\.ipynb -p profile paper"),
}

#: Question of somebody who opens the book for the first time -> where the first page's link leads, and a pattern of the
#: answer.
FROM_THE_FIRST_PAGE = {
    "Who is ahead today, and by what means?": (
        "field_since.html", r"The lead has passed to models that were trained on masks and words: \S+,"),
    "Which numbers are printed, which measured?": (
        "#how-to-read-the-numbers", r"printed in the paper have tables and panels of their own"),
    "What did a chapter run on?": ("status.html", r"\d cores \d"),
    "How do I take it home?": (
        "rerun.html#taking-a-notebook-home", r"downloads its executed notebook; the foot of every page"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_is_near_the_top_of_its_page(layout: Layout, browser: Browser, question: str) -> None:
    page, pattern = QUESTIONS[question]
    address = (layout.index.parent / f"{page}.html").as_uri()
    if browser.evaluate("location.href") != address:  # the question before may have been answered there
        browser.visit(address, SIZE)
    depth = browser.run(PLACE, pattern)
    assert depth is not None, f"{page} does not say it"
    print(f"{question} {page}, {depth:.0f} px")
    assert depth <= DEEPEST, f"{page} says it {depth:.0f} px down"


@pytest.mark.parametrize("question", FROM_THE_FIRST_PAGE)
def test_the_first_screen_leads_to_the_answer_within_one_screen(
    layout: Layout, browser: Browser, question: str
) -> None:
    target, pattern = FROM_THE_FIRST_PAGE[question]
    first = layout.index.parent / "intro.html"
    browser.visit(first.as_uri(), SIZE)
    link = browser.evaluate(f"document.querySelector('article a[href={json.dumps(target)}]')"
                            "?.getBoundingClientRect().bottom")
    assert link is not None and link <= SIZE[1], "the first screen has no link to it"
    page, _, section = target.partition("#")
    browser.visit("about:blank", SIZE)  # else a link within the page would load nothing
    browser.visit(f"{first.parent.as_uri()}/{page or first.name}#{section}", SIZE)
    place = f"document.getElementById('{section}').getBoundingClientRect().top + window.scrollY"
    top = browser.evaluate(place) if section else 0
    depth = browser.run(PLACE, pattern)
    assert depth is not None, f"{target} does not say it"
    assert 0 < depth - top <= SIZE[1]
