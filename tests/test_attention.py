"""The equations and the rules against loops in float64."""

import math
from unittest.mock import patch

import reference
import torch
from hypothesis import given, settings, strategies as st
from naive_attention import adaptive_scores, average, hard_scores, similarity_matrix, softmax_rows
from small_clip import HEADS, small_clip

import proxyclip as pc
from proxyclip.attention import BLOCK_ENTRIES, masked_attention, masked_softmax, mean_similarity, unit
from proxyclip.models.clip import BlockView, Trunk

betas = st.floats(0.5, 2.0)
gammas = st.floats(0.5, 10.0)
alphas = st.floats(-0.5, 0.95)
sides = st.integers(1, 5)
seeds = st.integers(0, 2**31 - 1)
quick = settings(max_examples=60, deadline=None, derandomize=True)


CLIP = small_clip(layers=2).double()
REFERENCE = reference.Clip(CLIP.model.state_dict(), HEADS, HEADS)
LAST = REFERENCE.last_block()


def random_inputs(seed: int, grid: tuple[int, int], proxy_grid: tuple[int, int]) -> tuple[Trunk, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(1, 1 + grid[0] * grid[1], 32, generator=generator, dtype=torch.float64)
    proxy = torch.randn(1, 6, *proxy_grid, generator=generator, dtype=torch.float64) + 0.4
    return Trunk((tokens,), grid), proxy


def naive_qkv(tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """q, k, v of the patch tokens, (N, 32) each."""
    return reference.clip_qkv(tokens[0, 1:], REFERENCE.state, LAST)


def naive_embeddings(attended: torch.Tensor) -> torch.Tensor:
    """out_proj, ln_post, visual projection, L2 norm: (N, 32) -> (N, 16)."""
    return REFERENCE.embed(reference.linear(attended, REFERENCE.state, f"{LAST}.attn.out_proj"))


def naive_scores(similarity: list[list[float]], rule: pc.Rule) -> list[list[float]]:
    if isinstance(rule, pc.Adaptive):
        return adaptive_scores(similarity, rule.beta, rule.gamma)
    return hard_scores(similarity, rule.alpha)


@quick
@given(seeds, sides, sides, sides, sides,
       st.one_of(st.builds(pc.Adaptive, betas, gammas), st.builds(pc.HardMask, alphas)))
def test_proxy_attention_agrees_with_the_loops(seed, rows, columns, proxy_rows, proxy_columns, rule):
    trunk, proxy = random_inputs(seed, (rows, columns), (proxy_rows, proxy_columns))
    (embedding,) = CLIP.readout(trunk, [rule], proxy)

    features = proxy[0].flatten(1).T
    similarity = similarity_matrix(features, features)
    weights = softmax_rows(naive_scores(similarity, rule), similarity)
    values = naive_qkv(trunk.states[-1])[2].reshape(rows, columns, 32)
    attended = average(weights, reference.resize_linear(values, (proxy_rows, proxy_columns)).flatten(0, 1))
    expected = naive_embeddings(attended).T.reshape(16, proxy_rows, proxy_columns)
    assert embedding.shape == (1, 16, proxy_rows, proxy_columns)
    assert (embedding[0] - expected).abs().max() < 1e-6


@quick
@given(seeds, sides, sides, st.sampled_from(["qk", "qq", "kk"]), st.sampled_from(["joined", "each"]),
       st.sampled_from(["cosine", "dot"]),
       st.one_of(st.builds(pc.Adaptive, betas, gammas), st.builds(pc.HardMask, alphas)))
def test_clips_own_attention_in_the_module_agrees_with_the_loops(seed, rows, columns, kind, heads, measure, masking):
    trunk, _ = random_inputs(seed, (rows, columns), (1, 1))
    (embedding,) = CLIP.readout(trunk, [pc.ClipAttention(kind, heads, measure, masking)])

    vectors = dict(zip("qkv", naive_qkv(trunk.states[-1]), strict=True))
    parts = [slice(0, 32)] if heads == "joined" else [slice(start, start + 8) for start in range(0, 32, 8)]
    attended = []
    for part in parts:
        similarity = similarity_matrix(vectors[kind[0]][:, part], vectors[kind[1]][:, part], measure)
        weights = softmax_rows(naive_scores(similarity, masking), similarity)
        attended.append(average(weights, vectors["v"][:, part]))
    expected = naive_embeddings(torch.cat(attended, dim=-1)).T.reshape(16, rows, columns)
    assert (embedding[0] - expected).abs().max() < 1e-6


def test_vanilla_is_the_block_that_open_clip_runs():
    trunk, _ = random_inputs(3, (3, 5), (1, 1))
    block = CLIP.model.visual.transformer.resblocks[-1]
    expected = block(trunk.states[-1])[:, 1:]
    assert (pc.Vanilla().read(BlockView(block, trunk.states[-1])) - expected).abs().max() < 1e-12


@quick
@given(seeds, st.integers(1, 40), st.integers(1, 64))
def test_blocks_of_rows_do_not_change_the_result(seed, count, block_entries):
    generator = torch.Generator().manual_seed(seed)
    features = unit(torch.randn(2, count, 5, generator=generator, dtype=torch.float64))
    values = torch.randn(2, count, 3, generator=generator, dtype=torch.float64)
    pairs = [pc.Adaptive().scale_and_threshold(mean_similarity(features, features)), (1.0, 0.3)]
    whole = masked_attention(features, features, values, pairs)
    with patch.dict(BLOCK_ENTRIES, cpu=block_entries):
        pieces = masked_attention(features, features, values, pairs)
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(whole, pieces, strict=True))


@quick
@given(seeds, st.integers(1, 30))
def test_the_mean_similarity_needs_no_matrix(seed, count):
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (unit(torch.randn(3, count, 4, generator=generator, dtype=torch.float64)) for _ in range(2))
    expected = (rows @ columns.transpose(1, 2)).mean(dim=(1, 2))
    assert (mean_similarity(rows, columns).flatten() - expected).abs().max() < 1e-12


@quick
@given(seeds, gammas, st.floats(-1, 1.5))
def test_the_masked_softmax_of_any_matrix_agrees_with_the_loops(seed, scale, threshold):
    similarity = 2 * torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1
    kept = similarity.clone()
    for matrix, weights in zip(similarity.tolist(), masked_softmax(similarity, scale, threshold), strict=True):
        scores = [[scale * entry if entry >= threshold else -math.inf for entry in row] for row in matrix]
        assert (weights - torch.tensor(softmax_rows(scores, matrix), dtype=torch.float64)).abs().max() < 1e-12
    assert torch.equal(similarity, kept)


def test_products_of_any_size_do_not_overflow():
    rows = 30 * torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(2))
    (found,) = masked_attention(rows, rows, torch.eye(6)[None], [(3.0, -1e9)])
    assert torch.allclose(found, (3 * rows @ rows.mT).softmax(dim=-1), atol=1e-6)


def test_a_shift_of_the_scores_moves_only_the_threshold():
    features = unit(torch.randn(1, 30, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.5)
    similarity = features @ features.transpose(1, 2)
    mean = similarity.mean()
    scores = 3.0 * (similarity - 1.2 * mean)
    shifted = torch.softmax(scores.masked_fill(scores < 0, -math.inf), dim=-1)
    assert (masked_softmax(similarity, 3.0, 1.2 * mean) - shifted).abs().max() < 1e-12


def test_attention_of_a_blank_image_is_finite():
    proxy = torch.ones(1, 6, 4, 3, dtype=torch.float64)  # all cosines 1: the mean exceeds 1 / beta
    trunk, _ = random_inputs(0, (2, 2), (1, 1))
    (embedding,) = CLIP.readout(trunk, [pc.Adaptive(1.2, 3.0)], proxy)
    assert embedding.isfinite().all()
