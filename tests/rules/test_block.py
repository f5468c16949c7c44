"""The block's two residual connections, with the layer scales that some architectures have."""

from __future__ import annotations

import torch
from open_clip.transformer import ResidualAttentionBlock

from proxyclip.rules.block import BlockView


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
