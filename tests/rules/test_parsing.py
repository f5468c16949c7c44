"""Rules by name: a name reads back as its rule, and what names none is refused with what is allowed."""

import pytest

import proxyclip as pc
from proxyclip.rules import RULE_FORMS


@pytest.mark.parametrize("text", [
    "adaptive:1,2.5", "hard:0.4", "hard:-1", "hard:1", "identity", "qk", "qq/each", "kk/dot", "qk/each/dot",
    "qq/hard:0.2", "vanilla", "vanilla/attention", "maskclip", "maskclip/attention", "sclip", "sclip/attention",
    "gem", "gem/attention", "gem:5", "gem:7", "gem:7,2", "gem/own-positions", "gem:7/attention/own-positions",
    "gem:6,1,0.1", "gem:4,0,0.25/attention", "gem:6,2,adaptive/attention", "clearclip", "naclip", "naclip:3",
    "adaptive:1.2000001,3", "hard:0.30000001", "qq/hard:0.20000001", "gem:7,1,0.10000001", "naclip:5.00000001",
])
def test_a_rule_reads_back_from_its_name(text):
    rule = pc.parse_rule(text)
    assert pc.parse_rule(rule.name) == rule
    assert rule.name == text.replace(",adaptive", "")  # a parameter at its default is left out
    assert text.split(":")[0].split("/")[0] in [form.split(":")[0] for form in RULE_FORMS]


@pytest.mark.parametrize("text", [
    "", "proxy", "adaptive:1", "adaptive:-1,3", "adaptive:inf,3", "adaptive:1,0", "hard", "hard:2", "hard:x",
    "identity:1", "qv", "qk/all", "qq/identity",
    "qq/vanilla", "gem:0", "gem:x", "gem:7,1,-2", "gem:7,1,1,1", "gem:2.5", "gems", "sclip:3",
    "sclip/mlp", "gem/own-positions/attention", "sclip/own-positions", "clearclip/attention", "naclip:0",
])
def test_an_unknown_rule_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match="unknown rule .*; allowed are adaptive.*sclip, gem.*naclip:SIGMA"):
        pc.parse_rule(text)


@pytest.mark.parametrize(("wrong", "sentence"), [
    ({"kind": "qv"}, "kind must be one of qk, qq, kk, got 'qv'"), ({"heads": "all"}, "heads must be one of joined"),
    ({"measure": "l2"}, "measure must be one of cosine, dot"), ({"masking": pc.Identity()}, "masking must be Adaptive"),
])
def test_a_part_of_clips_attention_that_does_not_exist_is_named(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        pc.ClipAttention(**wrong)
