"""NACLIP against loops in float64."""

from __future__ import annotations

import math

import pytest
import reference as naive
import torch
from conftest import small_clip
from naive_attention import average

import proxyclip as pc


@pytest.mark.parametrize("sigma", [5.0, 0.7])
def test_naclip_is_the_key_key_attention_with_a_gaussian_around_every_patch(sigma):
    clip, heads, columns = small_clip(), 4, 5
    pixels = torch.randn(1, 3, 24, 40, generator=torch.Generator().manual_seed(1))  # 3 x 5 patches: no square
    trunk = clip.trunk(pixels)
    (ours,) = clip.readout(trunk, [pc.NACLIP(sigma)])
    state = {name: value.double() for name, value in clip.model.state_dict().items()}
    block = "visual.transformer.resblocks.2"
    _, k, v = (part[1:] for part in naive.clip_qkv(trunk.states[-1][0].double(), state, block))
    parts = []
    for kh, vh in zip(k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        weights = []
        for i in range(len(kh)):
            scores = []
            for j in range(len(kh)):
                apart = (i // columns - j // columns) ** 2 + (i % columns - j % columns) ** 2
                scores.append(float(kh[i] @ kh[j]) / math.sqrt(kh.shape[1]) + math.exp(-apart / (2 * sigma**2)))
            weights.append([math.exp(score) / sum(map(math.exp, scores)) for score in scores])
        parts.append(average(weights, vh))
    attended = naive.linear(torch.cat(parts, -1), state, f"{block}.attn.out_proj")
    expected = naive.unit(naive.layer_norm(attended, state, "visual.ln_post", 1e-5) @ state["visual.proj"])
    torch.testing.assert_close(ours[0].flatten(1).T.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("text", ["naclip", "naclip:3"])
def test_its_name_reads_back_as_the_rule(text):
    assert pc.parse_rule(text).name == text and pc.parse_rule(pc.parse_rule(text).name) == pc.parse_rule(text)


@pytest.mark.parametrize("sigma", [0, -1.0, math.inf, "wide"])
def test_a_width_that_is_none_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be a positive number of patches"):
        pc.NACLIP(sigma)
