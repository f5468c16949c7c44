"""The pages of the explorer as files: without a script, without requests, and what is refused."""


import numpy as np
import pytest

import proxyclip as pc
from proxyclip.explorer.document import fragment, state_of


def test_a_page_asks_for_nothing_and_shows_the_image_and_a_sentence_without_a_script() -> None:
    html = pc.load(vfm="tiny_sam").explore(np.zeros((64, 64, 3), np.uint8)).html
    assert "http://" not in html and "https://" not in html and "import(" not in html
    assert html.count("<script") == 2 and html.count("</script>") == 2
    without = html.partition("<noscript>")[2].partition("</noscript>")[0]
    assert '<img class="pce-still" src="data:image/webp;base64,' in without and "It needs JavaScript." in without


def test_rules_that_the_explorer_does_not_offer_are_refused() -> None:
    assert state_of(pc.ClipAttention("qq")) == {"rule": "qq", "beta": 1.2, "gamma": 3.0}
    masked = pc.ClipAttention(masking=pc.HardMask(0.1))
    for rule in (pc.Vanilla(), pc.GEM(), pc.ClipAttention("qk", heads="each"), masked):
        with pytest.raises(ValueError, match="does not offer the rule"):
            state_of(rule)
    with pytest.raises(ValueError, match="at least one scene"):
        fragment([])
