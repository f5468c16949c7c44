"""The identity: every patch of the foundation model's grid keeps its own value, and no matrix is made for it."""

import pytest
import reference
import torch
from small_model import small_model

import proxyclip as pc
from proxyclip.models import proxy_readout
from proxyclip.models.clip import DenseCLIP, Trunk

#: CLIP's grid and the foundation model's: finer, coarser, equal, and slightly finer.
GRIDS = [((3, 3), (6, 6)), ((4, 6), (3, 2)), ((4, 4), (4, 4)), ((7, 7), (9, 8))]


@pytest.fixture(scope="module")
def clip() -> DenseCLIP:
    return small_model().clip.double()


def inputs(grid: tuple[int, int], proxy_grid: tuple[int, int]) -> tuple[Trunk, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(2, 1 + grid[0] * grid[1], 32, generator=generator, dtype=torch.float64)
    return Trunk((tokens,), grid), torch.randn(2, 8, *proxy_grid, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("grid", "proxy_grid"), GRIDS)
def test_identity_reads_clips_resized_values_where_they_are(clip, grid, proxy_grid):
    trunk, proxy = inputs(grid, proxy_grid)
    (found,) = clip.readout(trunk, [pc.Identity()], proxy)
    naive = reference.Clip(clip.model.state_dict(), 2, 2)
    for image, tokens in zip(found, trunk.states[-1], strict=True):
        _, _, values = reference.clip_qkv(tokens[1:], naive.state, naive.last_block())
        resized = reference.resize_linear(values.unflatten(0, grid), proxy_grid).flatten(0, 1)
        out = reference.linear(resized, naive.state, f"{naive.last_block()}.attn.out_proj")
        assert (image - naive.embed(out).T.unflatten(-1, proxy_grid)).abs().max() < 1e-9


def test_identity_among_other_rules_leaves_their_order(clip):
    trunk, proxy = inputs((3, 3), (6, 6))
    rules = [pc.Adaptive(), pc.Identity(), pc.MaskCLIP(), pc.HardMask(0.2), pc.Identity()]
    for rule, found in zip(rules, clip.readout(trunk, rules, proxy), strict=True):
        assert torch.equal(found, clip.readout(trunk, [rule], proxy)[0])


def test_identity_alone_makes_no_similarity_matrix(clip, monkeypatch):
    monkeypatch.setattr(proxy_readout, "masked_attention", lambda *_: pytest.fail("a similarity matrix was made"))
    trunk, proxy = inputs((3, 3), (6, 6))
    clip.readout(trunk, [pc.Identity()], proxy)
