"""NACLIP against an independent implementation in float64."""

import math

import pytest
import reference as naive
import torch
from reference_rules import HEADS, check_rule, project_out

import proxyclip as pc


@pytest.mark.parametrize("sigma", [5.0, 0.7])
def test_naclip_is_the_key_key_attention_with_a_gaussian_around_every_patch(sigma):
    places = [(row, column) for row in range(5) for column in range(6)]
    gaussian = [[math.exp(-((a - c) ** 2 + (b - d) ** 2) / (2 * sigma**2)) for c, d in places] for a, b in places]

    def expected(clip, states):
        tokens = states[-2]
        _, k, v = (part[1:] for part in naive.clip_qkv(tokens, clip.state, clip.last_block()))
        attended = naive.attend(k, k, v, HEADS, torch.tensor(gaussian, dtype=torch.float64))
        return project_out(clip, torch.cat([tokens[:1], attended]))  # the class token is not read

    check_rule(pc.NACLIP(sigma), expected)


@pytest.mark.parametrize("sigma", [0, -1.0, math.inf, "wide"])
def test_a_width_that_is_not_a_positive_number_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be a positive number of patches"):
        pc.NACLIP(sigma)
