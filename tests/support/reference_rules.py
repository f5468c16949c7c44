"""A small CLIP with random weights twice, in the package and in :mod:`reference`, to compare a rule on both."""

from collections.abc import Callable
from functools import cache

import open_clip
import reference as naive
import synthetic_checkpoints as synthetic
import torch
from torch import Tensor

from proxyclip.models.clip import DenseCLIP
from proxyclip.rules import ClipRule

LAYERS, HEADS = 9, 2


@cache
def weights() -> dict[str, Tensor]:
    return synthetic.clip(32, LAYERS, 8, 4, 16, 1, 16, vocabulary=64, context=16)


@cache
def dense_clip() -> DenseCLIP:
    model = open_clip.model.CLIP(
        16, dict(image_size=32, layers=LAYERS, width=32, head_width=16, patch_size=8),
        dict(context_length=16, vocab_size=64, width=16, heads=1, layers=1), quick_gelu=True)
    model.load_state_dict(weights())
    return DenseCLIP(model, None, naive.CLIP_MEAN, naive.CLIP_STD, [str])


@cache
def reference_clip() -> naive.Clip:
    return naive.Clip({name: value.double() for name, value in weights().items()}, HEADS, 1)


def project_out(clip: naive.Clip, attended: Tensor) -> Tensor:
    """The output projection of the last block's attention."""
    return naive.linear(attended, clip.state, f"{clip.last_block()}.attn.out_proj")


def finish(clip: naive.Clip, tokens: Tensor, attended: Tensor) -> Tensor:
    """Output projection, residual connection, MLP."""
    name, s = clip.last_block(), clip.state
    x = tokens + project_out(clip, attended)
    hidden = clip.act(naive.linear(naive.layer_norm(x, s, f"{name}.ln_2", 1e-5), s, f"{name}.mlp.c_fc"))
    return x + naive.linear(hidden, s, f"{name}.mlp.c_proj")


def check_rule(rule: ClipRule, expected: Callable[[naive.Clip, list[Tensor]], Tensor]) -> None:
    """Compare a rule with tokens (1 + N, width) of the reference, on two images of a grid that is not the trained one.

    ``expected`` is given the reference and the input of every block, with the output of the last.
    """
    clip, reference = dense_clip(), reference_clip()
    pixels = torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(5))
    (ours,) = clip.readout(clip.trunk(pixels, depth=rule.depth), [rule])
    for image, embedding in zip(pixels, ours, strict=True):
        states, grid = reference.states(image.double())
        embedded = reference.embed(expected(reference, states)[1:]).reshape(*grid, -1).permute(2, 0, 1)
        torch.testing.assert_close(embedding.double(), embedded, rtol=0, atol=1e-5)
