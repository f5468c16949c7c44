"""ClearCLIP against loops in float64."""

from __future__ import annotations

import math

import reference as naive
import torch
from conftest import small_clip
from naive_attention import average

import proxyclip as pc


def test_clearclip_is_the_query_query_attention_alone():
    clip, heads = small_clip(), 4
    pixels = torch.randn(1, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    trunk = clip.trunk(pixels)
    (ours,) = clip.readout(trunk, [pc.ClearCLIP()])
    state = {name: value.double() for name, value in clip.model.state_dict().items()}
    block = "visual.transformer.resblocks.2"
    q, _, v = naive.clip_qkv(trunk.states[-1][0].double(), state, block)
    parts = []
    for qh, vh in zip(q.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        scores = [[float(a @ b) / math.sqrt(len(a)) for b in qh] for a in qh]
        weights = [[math.exp(s) / sum(map(math.exp, row)) for s in row] for row in scores]
        parts.append(average(weights, vh))
    attended = naive.linear(torch.cat(parts, -1), state, f"{block}.attn.out_proj")[1:]  # the class token is not read
    expected = naive.unit(naive.layer_norm(attended, state, "visual.ln_post", 1e-5) @ state["visual.proj"])
    torch.testing.assert_close(ours[0].flatten(1).T.double(), expected, rtol=0, atol=1e-5)


def test_its_name_reads_back_as_the_rule():
    assert pc.parse_rule("clearclip") == pc.ClearCLIP() and pc.ClearCLIP().name == "clearclip"
