"""What is read inside timm's models is there; SAM's attention with relative positions, fused, is timm's."""

import pytest
import timm
import torch
from hypothesis import given, settings, strategies as st
from test_attention_memory import peak_bytes
from timm.models.vision_transformer_sam import Attention

from proxyclip.models import timm_models
from proxyclip.models.timm_models import RelativeAttention, share_relative_attention

VIT, EVA, SAM = "vit_small_patch14_reg4_dinov2.lvd142m", "vit_small_patch16_dinov3_qkvb.lvd1689m", "samvit_base_patch16"
#: What the package asks of timm, the architecture it asks it of, and the answer.
INTERNALS = {
    "patch_embed.proj": (VIT, timm_models.patch_projection, (384, 3, 14, 14)),
    "patch_embed.patch_size": (SAM, timm_models.patch_side, 16),
    "patch_embed.grid_size": (VIT, timm_models.trained_grid, (37, 37)),
    "patch_embed.strict_img_size": (VIT, lambda vit: (vit.patch_embed.strict_img_size,
                                                      timm_models.accept_any_size(vit))[0], True),
    "pos_embed": (VIT, lambda vit: tuple(timm_models.positions(vit).shape), (1, 37 * 37, 384)),
    "num_prefix_tokens": (VIT, timm_models.prefix_tokens, 5),
    "embed_dim, blocks": (EVA, timm_models.width_and_depth, (384, 12)),
    "rope.periods": (EVA, lambda eva: timm_models.set_rotary_periods(eva, eva.rope.periods.clone()), None),
    "blocks": (SAM, lambda sam: len(list(timm_models.blocks(sam))), 12),
    "blocks.attn.qkv": (SAM, lambda sam: timm_models.last_projection(sam).out_features, 3 * 768),
    "checkpoint_filter_fn": (VIT, lambda vit: list(timm_models.renamed({"norm.bias": vit.norm.bias}, vit)),
                             ["norm.bias"]),
    "pretrained_cfg": (VIT, lambda _: timm_models.published_source(VIT)[0], f"timm/{VIT}"),
}


@pytest.mark.parametrize("name", INTERNALS)
def test_timm_has_what_is_read_inside_its_models(name):
    architecture, ask, expected = INTERNALS[name]
    with torch.device("meta"):
        found = ask(timm_models.create(architecture))
    assert found == expected, f"timm {timm.__version__} changed {name}; the package reads it in models/timm_models.py"


def attention(rows: int, columns: int, seed: int = 0, width: int = 24, heads: int = 3) -> Attention:
    torch.manual_seed(seed)
    made = Attention(width, heads, use_rel_pos=True, input_size=(rows, columns)).requires_grad_(False)
    torch.nn.init.normal_(made.rel_pos_h)  # zero in an untrained model
    torch.nn.init.normal_(made.rel_pos_w)
    return made.double()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.booleans())
def test_it_equals_timms_on_grids_of_any_shape_also_where_the_tables_are_resized(seed, rows, columns, batch, resized):
    plain = attention(6, 7, seed) if resized else attention(rows, columns, seed)
    x = torch.randn(batch, rows, columns, 24, dtype=torch.float64)
    torch.testing.assert_close(RelativeAttention(plain)(x), plain(x), atol=1e-12, rtol=0)


def test_the_weights_are_shared():
    encoder = timm.create_model("samvit_base_patch16.sa1b", depth=2, embed_dim=48, num_heads=2, img_size=64)
    before = {id(parameter) for parameter in encoder.parameters()}
    names = list(encoder.state_dict())
    share_relative_attention(encoder)
    assert {id(parameter) for parameter in encoder.parameters()} == before
    assert list(encoder.state_dict()) == names
    assert all(isinstance(block.attn, RelativeAttention) for block in encoder.blocks)


def test_no_matrix_of_all_pairs_is_held():
    """On SAM's 64 x 64 grid: less than half a matrix of all pairs, where timm's attention holds several a head."""
    plain, x = attention(64, 64, width=32, heads=2).float(), torch.randn(1, 64, 64, 32)
    matrix = 64**4 * 4
    with torch.inference_mode():
        assert peak_bytes(lambda: RelativeAttention(plain)(x)) < matrix / 2
        assert peak_bytes(lambda: plain(x)) > 4 * matrix
