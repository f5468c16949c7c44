"""The equations and the rules against loops in float64."""

import math
from collections.abc import Callable
from unittest.mock import patch

import pytest
import reference
import torch
from hypothesis import given, settings, strategies as st
from small_clip import HEADS, small_clip

import proxyclip as pc
from proxyclip.attention import BLOCK_ENTRIES, masked_attention, masked_softmax
from proxyclip.models.clip import BlockView, Trunk
from proxyclip.rules import proxy_readout

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


def naive_similarity(rows: torch.Tensor, columns: torch.Tensor, measure: str = "cosine") -> list[list[float]]:
    """S[i][j]: cosine, or dot product over the square root of the width."""
    def between(a: torch.Tensor, b: torch.Tensor) -> float:
        return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b) if measure == "cosine" else len(a))

    return [[between(a, b) for b in columns] for a in rows]


def naive_score(similarity: list[list[float]], rule: pc.Rule) -> Callable[[float], float]:
    """What a rule makes of an entry: gamma (S - beta mean(S)) unless that is below 0 (section B), or Eq. 1."""
    if isinstance(rule, pc.HardMask):
        return lambda entry: entry if entry >= rule.alpha else -math.inf
    entries = [entry for row in similarity for entry in row]
    offset = rule.beta * sum(entries) / len(entries)
    return lambda entry: rule.gamma * (entry - offset) if entry >= offset else -math.inf


def naive_weights(similarity: list[list[float]], score: Callable[[float], float]) -> torch.Tensor:
    """Softmax of the scores of each row; a row with nothing left keeps its largest similarities."""
    weights = []
    for row in similarity:
        scores = [score(entry) for entry in row]
        if max(scores) == -math.inf:
            scores = [0.0 if entry == max(row) else -math.inf for entry in row]
        exponentials = [math.exp(one - max(scores)) for one in scores]
        weights.append([value / sum(exponentials) for value in exponentials])
    return torch.tensor(weights, dtype=torch.float64)


@quick
@given(seeds, sides, sides, sides, sides, st.integers(1, 64),
       st.one_of(st.builds(pc.Adaptive, betas, gammas), st.builds(pc.HardMask, alphas), st.just(pc.Identity())))
def test_proxy_attention_agrees_with_the_loops(seed, rows, columns, proxy_rows, proxy_columns, held, rule):
    """Also where rows are read in blocks of any number of entries."""
    trunk, proxy = random_inputs(seed, (rows, columns), (proxy_rows, proxy_columns))
    with patch.dict(BLOCK_ENTRIES, cpu=held):
        (embedding,) = CLIP.readout(trunk, [rule], proxy)

    features = proxy[0].flatten(1).T
    similarity = naive_similarity(features, features)
    values = naive_qkv(trunk.states[-1])[2].reshape(rows, columns, 32)
    resized = reference.resize_linear(values, (proxy_rows, proxy_columns)).flatten(0, 1)
    identity = isinstance(rule, pc.Identity)  # every patch keeps its own value
    attended = resized if identity else naive_weights(similarity, naive_score(similarity, rule)) @ resized
    expected = naive_embeddings(attended).T.reshape(16, proxy_rows, proxy_columns)
    assert embedding.shape == (1, 16, proxy_rows, proxy_columns)
    assert (embedding[0] - expected).abs().max() < 1e-10


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
        similarity = naive_similarity(vectors[kind[0]][:, part], vectors[kind[1]][:, part], measure)
        attended.append(naive_weights(similarity, naive_score(similarity, masking)) @ vectors["v"][:, part])
    expected = naive_embeddings(torch.cat(attended, dim=-1)).T.reshape(16, rows, columns)
    assert (embedding[0] - expected).abs().max() < 1e-10


def test_identity_alone_makes_no_similarity_matrix(monkeypatch):
    monkeypatch.setattr(proxy_readout, "masked_attention", lambda *_: pytest.fail("a similarity matrix was made"))
    trunk, proxy = random_inputs(3, (3, 3), (6, 6))
    CLIP.readout(trunk, [pc.Identity()], proxy)


def test_vanilla_is_the_block_that_open_clip_runs():
    trunk, _ = random_inputs(3, (3, 5), (1, 1))
    block = CLIP.model.visual.transformer.resblocks[-1]
    expected = block(trunk.states[-1])[:, 1:]
    assert (pc.Vanilla().read(BlockView(block, trunk.states[-1])) - expected).abs().max() < 1e-12


@quick
@given(seeds, gammas, st.floats(-1, 1.5))
def test_the_masked_softmax_of_any_matrix_agrees_with_the_loops(seed, scale, threshold):
    similarity = 2 * torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1
    kept = similarity.clone()
    for matrix, weights in zip(similarity.tolist(), masked_softmax(similarity, scale, threshold), strict=True):
        expected = naive_weights(matrix, lambda entry: scale * entry if entry >= threshold else -math.inf)
        assert (weights - expected).abs().max() < 1e-12
    assert torch.equal(similarity, kept)


def test_products_of_any_size_do_not_overflow():
    rows = 30 * torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(2))
    (found,) = masked_attention(rows, rows, torch.eye(6)[None], [(3.0, -1e9)])
    assert torch.allclose(found, (3 * rows @ rows.mT).softmax(dim=-1), atol=1e-6)


def test_attention_of_a_blank_image_is_finite():
    proxy = torch.ones(1, 6, 4, 3, dtype=torch.float64)  # all cosines 1: the mean exceeds 1 / beta
    trunk, _ = random_inputs(0, (2, 2), (1, 1))
    (embedding,) = CLIP.readout(trunk, [pc.Adaptive(1.2, 3.0)], proxy)
    assert embedding.isfinite().all()
