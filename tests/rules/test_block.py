"""What is read inside open_clip's models is there; the block's two residual connections, with their layer scales."""

import open_clip
import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock

from proxyclip.rules import block as opened
from proxyclip.rules.block import BlockView
from proxyclip.tiny.models import build_clip


def changed_activations(model: open_clip.model.CLIP) -> int:
    opened.exchange_activation(model)
    return sum(type(module).__name__ == "QuickGELU" for module in model.modules())


#: What the package asks of open_clip, and the answer of the tiny CLIP.
INTERNALS = {
    "visual.patch_size": (opened.patch_side, 8),
    "visual.grid_size": (opened.trained_grid, (8, 8)),
    "visual.conv1, visual.output_dim": (opened.tower_widths, (192, 128)),
    "visual.transformer.resblocks": (lambda model: len(opened.image_blocks(model)), 5),
    "visual.class_embedding, positional_embedding, ln_pre": (
        lambda model: opened.image_tokens(model, torch.zeros(2, 3, 64, 64), lambda table, _: table)[0].shape,
        (2, 65, 192)),
    "visual.ln_post, proj": (lambda model: opened.image_head(model)[1].shape, (192, 128)),
    "the text tower": (lambda model: opened.text_features(model, torch.eye(3, 8, dtype=torch.int64)).shape, (3, 128)),
    "the towers' classes": (lambda model: opened.refuse_unreadable(model, "tiny"), None),
    "mlp.gelu": (changed_activations, 7),
    "a block": (lambda model: BlockView(opened.image_blocks(model)[0], torch.zeros(1, 5, 192)).forward().shape,
                (1, 5, 192)),
}


@pytest.mark.parametrize("name", INTERNALS)
def test_open_clip_has_what_is_read_inside_its_models(name):
    ask, expected = INTERNALS[name]
    found = ask(build_clip())
    assert found == expected, f"open_clip {open_clip.__version__} changed {name}, which rules/block.py reads"


def test_the_residual_connections_scale_what_they_add():
    """``y = x + s1 * a`` and ``y + s2 * mlp(ln_2(y))``, in float64 and one token at a time."""
    torch.manual_seed(0)
    block = ResidualAttentionBlock(8, 2, mlp_ratio=2.0, ls_init_value=1.0).double().eval()
    block.ls_1.gamma.data = torch.rand(8, dtype=torch.float64) + 0.5
    block.ls_2.gamma.data = torch.rand(8, dtype=torch.float64) - 2.0
    tokens, attended = torch.randn(2, 1, 5, 8, dtype=torch.float64)
    found = BlockView(block, tokens, grid=(2, 2)).add_residual(tokens, attended)
    for x, a, y in zip(tokens[0], attended[0], found[0], strict=True):
        middle = x + block.ls_1.gamma * a
        centred = middle - middle.mean()
        normal = centred / (centred.pow(2).mean() + block.ln_2.eps).sqrt() * block.ln_2.weight + block.ln_2.bias
        hidden = block.mlp.c_fc.weight @ normal + block.mlp.c_fc.bias
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
        expected = middle + block.ls_2.gamma * (block.mlp.c_proj.weight @ hidden + block.mlp.c_proj.bias)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
