"""CLIP, MaskCLIP, SCLIP and GEM against independent implementations from their papers, head by head."""

from __future__ import annotations

import copy
import math

import pytest
import reference as naive
import synthetic_checkpoints as synthetic
import torch
from torch import Tensor

import proxyclip as pc
from proxyclip.models.clip import DenseCLIP

import open_clip  # isort: skip  (after the package, which declares torchvision's schemas)

LAYERS, HEADS = 9, 2


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return synthetic.clip(32, LAYERS, 8, 4, 16, 1, 16, vocabulary=64, context=16)


@pytest.fixture(scope="module")
def dense(weights) -> DenseCLIP:
    model = open_clip.model.CLIP(
        16, dict(image_size=32, layers=LAYERS, width=32, head_width=16, patch_size=8),
        dict(context_length=16, vocab_size=64, width=16, heads=1, layers=1), quick_gelu=True)
    model.load_state_dict(weights)
    return DenseCLIP(model, None, naive.CLIP_MEAN, naive.CLIP_STD, [str])


@pytest.fixture(scope="module")
def reference(weights) -> naive.Clip:
    return naive.Clip({name: value.double() for name, value in weights.items()}, HEADS, 1)


def finish(clip: naive.Clip, tokens: Tensor, attended: Tensor) -> Tensor:
    """Output projection, residual, MLP."""
    name, s = clip.last_block(), clip.state
    x = tokens + naive.linear(attended, s, f"{name}.attn.out_proj")
    hidden = clip.act(naive.linear(naive.layer_norm(x, s, f"{name}.ln_2", 1e-5), s, f"{name}.mlp.c_fc"))
    return x + naive.linear(hidden, s, f"{name}.mlp.c_proj")


def sclip(clip: naive.Clip, states: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The sum of the q-q and the k-k softmax, one head after the other; attention output, and after the block."""
    q, k, v = naive.clip_qkv(states[-2], clip.state, clip.last_block())
    parts = []
    for qh, kh, vh in zip(q.chunk(HEADS, -1), k.chunk(HEADS, -1), v.chunk(HEADS, -1), strict=True):
        scale = math.sqrt(qh.shape[-1])
        parts.append((naive.softmax(qh @ qh.T / scale) + naive.softmax(kh @ kh.T / scale)) @ vh)
    attended = torch.cat(parts, -1)
    return naive.linear(attended, clip.state, f"{clip.last_block()}.attn.out_proj"), finish(clip, states[-2], attended)


def gem(clip: naive.Clip, states: list[Tensor], depth: int, iterations: int, temperature: float | None
        ) -> tuple[Tensor, Tensor]:
    """Self-self attention of the last ``depth`` blocks on a second path; the last block's share, and the sum."""
    second = states[-1 - depth]
    for index in range(LAYERS - depth, LAYERS):
        name, tokens = f"visual.transformer.resblocks.{index}", states[index]
        normed = naive.layer_norm(tokens, clip.state, f"{name}.ln_1", 1e-5)
        projections = naive.clip_qkv(tokens, clip.state, name)
        parts = []
        for head in range(HEADS):
            v = projections[2].chunk(HEADS, -1)[head]
            t = temperature or math.sqrt(v.shape[-1]) * len(normed) / sum(math.sqrt(float(row @ row)) for row in normed)
            total = torch.zeros_like(v)
            for projection in projections:
                p = naive.unit(projection.chunk(HEADS, -1)[head])
                for _ in range(iterations):
                    p = naive.unit(naive.softmax(p @ p.T / t) @ p)
                total += naive.softmax(p @ p.T / t) @ v
            parts.append(total / 3)
        attended = naive.linear(torch.cat(parts, -1), clip.state, f"{name}.attn.out_proj")
        second = second + attended
    return attended, second


def check(dense: DenseCLIP, reference: naive.Clip, rule: pc.Rule, expected) -> None:
    """Compare on two images at once, with a grid other than the trained one."""
    pixels = torch.randn(2, 3, 40, 48, generator=torch.Generator().manual_seed(5))
    (ours,) = dense.readout(dense.trunk(pixels, depth=rule.depth), [rule])
    for image, embedding in zip(pixels, ours, strict=True):
        states, grid = reference.states(image.double())
        tokens = expected(reference, states)[rule.readout == "block"][1:]
        wanted = reference.embed(tokens).reshape(*grid, -1).permute(2, 0, 1)
        torch.testing.assert_close(embedding.double(), wanted, rtol=1e-4, atol=2e-5)


READOUTS = ["block", "attention"]


@pytest.mark.parametrize("readout", READOUTS)
def test_vanilla_is_the_block_as_trained(dense, reference, readout):
    def expected(clip, states):
        attended = naive.attend(*naive.clip_qkv(states[-2], clip.state, clip.last_block()), HEADS)
        return naive.linear(attended, clip.state, f"{clip.last_block()}.attn.out_proj"), states[-1]

    check(dense, reference, pc.Vanilla(readout), expected)


@pytest.mark.parametrize("readout", READOUTS)
def test_maskclip_is_the_identity_attention(dense, reference, readout):
    def expected(clip, states):
        v = naive.clip_qkv(states[-2], clip.state, clip.last_block())[2]
        return naive.linear(v, clip.state, f"{clip.last_block()}.attn.out_proj"), finish(clip, states[-2], v)

    check(dense, reference, pc.MaskCLIP(readout), expected)


@pytest.mark.parametrize("readout", READOUTS)
def test_sclip_is_the_sum_of_two_self_correlations(dense, reference, readout):
    check(dense, reference, pc.SCLIP(readout), sclip)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize(("depth", "iterations", "temperature"), [(7, 1, None), (1, 0, None), (9, 2, 0.1), (3, 1, 2.0)])
def test_gem_is_self_self_attention_on_a_second_path(dense, reference, depth, iterations, temperature, readout):
    check(dense, reference, pc.GEM(depth, iterations, temperature, readout),
          lambda clip, states: gem(clip, states, depth, iterations, temperature))


@pytest.fixture()
def package():
    return pytest.importorskip("gem.gem_wrapper", exc_type=ImportError,
                               reason="gem_torch is not installed (pip install gem_torch)")


def authors_gem(package, dense: DenseCLIP, pixels: Tensor, **options: object) -> Tensor:
    """Unit patch embeddings of gem_torch, which expects open_clip's older order of dimensions."""
    model = copy.deepcopy(dense.model)
    for block in model.visual.transformer.resblocks:
        block.attn.batch_first = False
    wrapper = package.GEMWrapper(model, None, **options)
    with torch.no_grad():
        return naive.unit(wrapper.model.visual(pixels)[0][:, 1:])


@pytest.mark.parametrize("sides", [(32, 32), (48, 48), (24, 40)], ids=str)
def test_gem_by_default_is_the_authors_package_by_default(package, dense, sides):
    pixels = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(5))
    theirs = authors_gem(package, dense, pixels)
    (ours,) = dense.embed(pixels, [pc.GEM()])
    torch.testing.assert_close(ours.flatten(2).mT, theirs, rtol=1e-4, atol=5e-5)
    if sides != (32, 32):  # the two things that a re-implementation gets wrong
        for other in (pc.GEM(depth=7), pc.GEM(positions=None)):
            (different,) = dense.embed(pixels, [other])
            assert (different.flatten(2).mT - theirs).abs().max() > 1e-3


def test_gem_agrees_with_the_authors_package_at_other_settings(package, dense):
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    theirs = authors_gem(package, dense, pixels, depth=3, ss_attn_iter=2, ss_attn_temp=5.0)
    (ours,) = dense.embed(pixels, [pc.GEM(2, 2, 0.2)])  # the package re-reads one block fewer than its depth
    torch.testing.assert_close(ours.flatten(2).mT, theirs, rtol=1e-4, atol=1e-5)


def test_rules_that_resize_positions_differently_each_get_their_own(dense):
    pixels = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(6))
    rules = [pc.MaskCLIP(), pc.GEM(3), pc.Vanilla(), pc.GEM(3, positions=None)]
    together = dense.embed(pixels, rules)
    for rule, embedding in zip(rules, together, strict=True):
        trunk = dense.trunk(pixels, rule.depth, rule.positions)
        torch.testing.assert_close(embedding, dense.readout(trunk, [rule])[0])
    assert (together[1] - together[3]).abs().max() > 1e-3


def test_rules_of_different_depths_share_one_pass(dense):
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    rules = [pc.Vanilla(), pc.GEM(4), pc.SCLIP(), pc.GEM(7), pc.MaskCLIP()]
    together = dense.readout(dense.trunk(pixels, depth=7), rules)
    for rule, embedding in zip(rules, together, strict=True):
        (alone,) = dense.readout(dense.trunk(pixels, depth=rule.depth), [rule])
        torch.testing.assert_close(embedding, alone)


def test_gem_on_fewer_blocks_than_it_reads_is_an_error(dense):
    with pytest.raises(ValueError, match="reads the last 10 blocks"):
        dense.trunk(torch.zeros(1, 3, 32, 32), depth=pc.GEM(10).depth)


@pytest.mark.parametrize("text", [
    "vanilla", "vanilla/attention", "maskclip", "maskclip/attention", "sclip", "sclip/attention", "gem",
    "gem/attention", "gem:5", "gem:7", "gem:7,2", "gem/own-positions",
    "gem:7/attention/own-positions", "gem:6,1,0.1", "gem:4,0,0.25/attention",
])
def test_the_name_of_a_baseline_reads_back_as_the_rule(text):
    rule = pc.parse_rule(text)
    assert rule.name == text and pc.parse_rule(rule.name) == rule


@pytest.mark.parametrize(
    "text", ["gem:0", "gem:x", "gem:7,1,-2", "gem:7,1,1,1", "sclip:3", "sclip/mlp", "gems", "gem:2.5",
             "gem/own-positions/attention", "sclip/own-positions"])
def test_a_wrong_name_of_a_baseline_lists_what_is_allowed(text):
    with pytest.raises(ValueError, match="unknown rule .*allowed are .*sclip, gem"):
        pc.parse_rule(text)


@pytest.mark.parametrize(("wrong", "message"), [
    (dict(depth=0), "depth must be an integer of at least 1, got 0"),
    (dict(iterations=-1), "iterations must be an integer of at least 0, got -1"),
    (dict(temperature=0), "temperature must be a positive number or None, got 0"),
    (dict(readout="mlp"), "readout must be one of block, attention, got 'mlp'"),
])
def test_wrong_parameters_of_gem_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        pc.GEM(**wrong)
