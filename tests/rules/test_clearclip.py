"""ClearCLIP against an independent implementation in float64."""

import reference as naive
from reference_rules import HEADS, check_rule, project_out

import proxyclip as pc


def test_clearclip_is_the_query_query_attention_alone():
    def expected(clip, states):
        q, _, v = naive.clip_qkv(states[-2], clip.state, clip.last_block())
        return project_out(clip, naive.attend(q, q, v, HEADS))

    check_rule(pc.ClearCLIP(), expected)
