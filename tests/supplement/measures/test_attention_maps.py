"""A row of the attention matrix is the row that the rules use."""

import numpy as np
import pytest
import torch
from small_model import small_model

import proxyclip as pc
from proxyclip.attention import masked_attention, mean_similarity, unit
from proxyclip.supplement.measures.attention_maps import attention_map


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return small_model(seed=1)


IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_the_map_is_a_row_of_the_matrix_that_averages_the_values(model):
    shown = attention_map(model, IMAGE, (40, 10), pc.Adaptive())
    assert shown.box == (16, 0, 48, 32) and shown.patch == (6, 2)
    window = model.vfm.normalize(torch.from_numpy(IMAGE[16:48, :32]).permute(2, 0, 1)[None] / 255)
    features = unit(model.vfm.features(window).flatten(2).transpose(1, 2))
    pair = pc.Adaptive().scale_and_threshold(mean_similarity(features, features))
    (weights,) = masked_attention(features, features, torch.eye(64)[None], [pair])
    assert torch.allclose(shown.weights.flatten(), weights[0, 6 * 8 + 2], atol=1e-6)
    assert ((shown.similarity >= shown.threshold) == (shown.weights > 0)).all()


@pytest.mark.parametrize("rule", [pc.Adaptive(), pc.HardMask(0.3), pc.ClipAttention("qq"), pc.Vanilla()])
def test_weights_sum_to_one(model, rule):
    assert attention_map(model, IMAGE, (0, 63), rule).weights.sum().item() == pytest.approx(1, abs=1e-5)


def test_a_point_outside_and_a_rule_without_a_matrix_are_refused(model):
    with pytest.raises(ValueError, match="outside the image of 48 x 64"):
        attention_map(model, IMAGE, (48, 0), pc.Adaptive())
    with pytest.raises(ValueError, match="no single attention matrix"):
        attention_map(model, IMAGE, (0, 0), pc.MaskCLIP())
