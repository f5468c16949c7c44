"""CLIP, MaskCLIP, SCLIP, ClearCLIP and GEM against independent implementations from their papers, head by head."""

import copy
import math
import sys
from types import ModuleType

import pytest
import reference as naive
import torch
from reference_rules import HEADS, LAYERS, check_rule, dense_clip, finish, project_out
from torch import Tensor

import proxyclip as pc

READOUTS = ["block", "attention"]


@pytest.mark.parametrize("readout", READOUTS)
def test_vanilla_is_the_block_as_trained(readout):
    def expected(clip, states):
        attended = naive.attend(*naive.clip_qkv(states[-2], clip.state, clip.last_block()), HEADS)
        return states[-1] if readout == "block" else project_out(clip, attended)

    check_rule(pc.Vanilla(readout), expected)


@pytest.mark.parametrize("readout", READOUTS)
def test_maskclip_is_the_identity_attention(readout):
    def expected(clip, states):
        v = naive.clip_qkv(states[-2], clip.state, clip.last_block())[2]
        return finish(clip, states[-2], v) if readout == "block" else project_out(clip, v)

    check_rule(pc.MaskCLIP(readout), expected)


@pytest.mark.parametrize("readout", READOUTS)
def test_sclip_is_the_sum_of_the_query_query_and_the_key_key_softmax(readout):
    def expected(clip, states):
        q, k, v = naive.clip_qkv(states[-2], clip.state, clip.last_block())
        parts = []
        for qh, kh, vh in zip(q.chunk(HEADS, -1), k.chunk(HEADS, -1), v.chunk(HEADS, -1), strict=True):
            scale = math.sqrt(qh.shape[-1])
            parts.append((naive.softmax(qh @ qh.T / scale) + naive.softmax(kh @ kh.T / scale)) @ vh)
        attended = torch.cat(parts, -1)
        return finish(clip, states[-2], attended) if readout == "block" else project_out(clip, attended)

    check_rule(pc.SCLIP(readout), expected)


def test_clearclip_is_the_query_query_attention_alone():
    def expected(clip, states):
        q, _, v = naive.clip_qkv(states[-2], clip.state, clip.last_block())
        return project_out(clip, naive.attend(q, q, v, HEADS))

    check_rule(pc.ClearCLIP(), expected)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize(("depth", "iterations", "temperature"), [(7, 1, None), (1, 0, None), (9, 2, 0.1), (3, 1, 2.0)])
def test_gem_is_self_self_attention_on_a_second_path(depth, iterations, temperature, readout):
    def expected(clip, states):
        second = states[-1 - depth]
        for index in range(LAYERS - depth, LAYERS):
            name, tokens = f"visual.transformer.resblocks.{index}", states[index]
            normed = naive.layer_norm(tokens, clip.state, f"{name}.ln_1", 1e-5)
            norm = sum(math.sqrt(float(row @ row)) for row in normed) / len(normed)
            projections = naive.clip_qkv(tokens, clip.state, name)
            parts = []
            for head in range(HEADS):
                v = projections[2].chunk(HEADS, -1)[head]
                t = temperature or math.sqrt(v.shape[-1]) / norm
                total = torch.zeros_like(v)
                for projection in projections:
                    p = naive.unit(projection.chunk(HEADS, -1)[head])
                    for _ in range(iterations):
                        p = naive.unit(naive.softmax(p @ p.T / t) @ p)
                    total += naive.softmax(p @ p.T / t) @ v
                parts.append(total / 3)
            attended = naive.linear(torch.cat(parts, -1), clip.state, f"{name}.attn.out_proj")
            second = second + attended
        return second if readout == "block" else attended

    check_rule(pc.GEM(depth, iterations, temperature, readout), expected)


@pytest.fixture()
def package(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))  # it draws with OpenCV, which it computes nothing with
    return pytest.importorskip("gem.gem_wrapper", exc_type=ImportError,
                               reason="gem_torch is not installed (pip install --no-deps gem_torch einops)")


def authors_gem(package, pixels: Tensor, **options: object) -> Tensor:
    """Unit patch embeddings of gem_torch, which expects open_clip's older order of dimensions."""
    model = copy.deepcopy(dense_clip().model)
    for block in model.visual.transformer.resblocks:
        block.attn.batch_first = False
    wrapper = package.GEMWrapper(model, None, **options)
    with torch.no_grad():
        return naive.unit(wrapper.model.visual(pixels)[0][:, 1:])


@pytest.mark.parametrize("sides", [(32, 32), (48, 48), (24, 40)], ids=str)
def test_gem_by_default_is_the_authors_package_by_default(package, sides):
    pixels = torch.randn(2, 3, *sides, generator=torch.Generator().manual_seed(5))
    theirs = authors_gem(package, pixels)
    (ours,) = dense_clip().embed(pixels, [pc.GEM()])
    torch.testing.assert_close(ours.flatten(2).mT, theirs, rtol=1e-4, atol=5e-5)
    if sides != (32, 32):  # the two things that a re-implementation gets wrong
        for other in (pc.GEM(depth=7), pc.GEM(positions=None)):
            (different,) = dense_clip().embed(pixels, [other])
            assert (different.flatten(2).mT - theirs).abs().max() > 1e-3


def test_gem_agrees_with_the_authors_package_at_other_settings(package):
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    theirs = authors_gem(package, pixels, depth=3, ss_attn_iter=2, ss_attn_temp=5.0)
    (ours,) = dense_clip().embed(pixels, [pc.GEM(2, 2, 0.2)])  # the package re-reads one block fewer than its depth
    torch.testing.assert_close(ours.flatten(2).mT, theirs, rtol=1e-4, atol=1e-5)


def test_rules_of_different_depths_and_positions_share_a_pass_and_give_what_each_gives_alone():
    clip, pixels = dense_clip(), torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(6))
    rules = [pc.Vanilla(), pc.GEM(4), pc.SCLIP(), pc.GEM(7), pc.MaskCLIP(), pc.GEM(4, positions=None)]
    together = clip.embed(pixels, rules)
    for rule, embedding in zip(rules, together, strict=True):
        (alone,) = clip.readout(clip.trunk(pixels, rule.depth, rule.positions), [rule])
        torch.testing.assert_close(embedding, alone)
    assert (together[1] - together[5]).abs().max() > 1e-3


def test_gem_on_fewer_blocks_than_it_reads_is_an_error():
    with pytest.raises(ValueError, match="reads the last 10 blocks"):
        dense_clip().trunk(torch.zeros(1, 3, 32, 32), depth=pc.GEM(10).depth)


@pytest.mark.parametrize(("wrong", "message"), [
    (dict(depth=0), "depth must be an integer of at least 1, got 0"),
    (dict(iterations=-1), "iterations must be an integer of at least 0, got -1"),
    (dict(temperature=0), "temperature must be a positive number or None, got 0"),
    (dict(positions="bicubic"), "positions must be one of bicubic-antialias, None, got 'bicubic'"),
    (dict(readout="mlp"), "readout must be one of block, attention, got 'mlp'"),
])
def test_wrong_parameters_of_gem_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        pc.GEM(**wrong)
