"""Twelve questions of a reader: each is answered within the first screen and a half of a page."""

from __future__ import annotations

import json

import pytest
from browser import Browser

from book.checkout import Layout

pytestmark = pytest.mark.book

SIZE = (1280, 800)
#: A screen and a half, CSS pixels.
DEEPEST = 1.5 * SIZE[1]

#: Question -> page, and a pattern that its answer's text has.
QUESTIONS = {
    "What is S?": ("method", r"holds the cosine similarity of every two patches"),
    "What does beta do?": ("method", r"sets the mask: only entries of at least"),
    "What does gamma do?": ("method", r"sets how sharply the kept entries are weighted"),
    "Why is there a mask?": ("method", r"a softmax gives every patch some weight"),
    "What is the identity control?": ("method", r"The identity control gives each patch its own value"),
    "Which claim fails on tiny, and why?": ("claims", r"^[A-G]\d.*Why not: \S+ \S+ \S+"),
    "Which foundation model is best on tiny?": ("notebooks/D_hard_masking", r"\S+ is the best of them, with \d+\.\d"),
    "How do I segment my own photo?": ("rerun", r"proxyclip segment photo\.jpg --classes"),
    "What does Table 2 print for DINO?": (
        "notebooks/D_hard_masking", r"DINO has its best, 25\.8, at a threshold of 0\.4"),
    "What does a protocol card fix?": ("protocol_cards", r"how an image is resized, where its windows lie"),
    "What does make book need, and how long does it take?": (
        "rerun", r"needs Python 3\.11 or newer and about 2 GB.*took \d+ minutes"),
    "How do I run a chapter on real weights?": ("rerun", r"papermill notebooks/\S+ out\.ipynb -p profile paper"),
}

#: Lowest edge of the shortest run of neighbouring blocks whose text has the pattern; null where there is none.
PLACE = """
(pattern => {
  const blocks = [...document.querySelectorAll('article :is(p, li, td, caption, figcaption)')]
    .filter(block => block.getClientRects().length && !block.querySelector('p, li, td'));
  const text = block => block.textContent.replace(/\\s+/g, ' ').trim();
  for (let count = 1; count <= 2; count += 1) {
    for (let first = 0; first + count <= blocks.length; first += 1) {
      const run = blocks.slice(first, first + count);
      if (new RegExp(pattern).test(run.map(text).join(' '))) {
        return window.scrollY + run.at(-1).getBoundingClientRect().bottom;
      }
    }
  }
  return null;
})(%s)
"""


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_is_near_the_top_of_its_page(layout: Layout, browser: Browser, question: str) -> None:
    page, pattern = QUESTIONS[question]
    browser.visit((layout.index.parent / f"{page}.html").as_uri(), SIZE)
    depth = browser.evaluate(PLACE % json.dumps(pattern))
    assert depth is not None, f"{page} does not say it"
    print(f"{question} {page}, {depth:.0f} px")
    assert depth <= DEEPEST, f"{page} says it {depth:.0f} px down"
