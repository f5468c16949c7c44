"""What a model of cells sees, and the consensus of two layings."""

import pytest
import torch

from proxyclip.tiny import models
from training.objectives.cells import CELL, cell_features, consensus


@pytest.fixture(params=[(4, 0), (4, 4), (8, 0)], ids=["patch 4", "registers", "patch 8"])
def vit(request):
    torch.manual_seed(0)
    model = models.build_vit(*request.param).eval()
    model.patch_embed.strict_img_size = False
    return model


@torch.no_grad()
def test_a_patch_sees_nothing_outside_its_cell(vit):
    torch.manual_seed(1)
    one = torch.randn(1, 3, 64, 64)
    two = torch.randn(1, 3, 64, 64)
    two[:, :, CELL : 2 * CELL, :CELL] = one[:, :, CELL : 2 * CELL, :CELL]
    first, second = cell_features(vit, one, (0, 0)), cell_features(vit, two, (0, 0))
    patch = vit.patch_embed.patch_size[0]
    side, cell = 64 // patch, CELL // patch
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[cell : 2 * cell, :cell] = True
    alike = torch.isclose(first, second, atol=1e-5).all(-1)[0]
    assert torch.equal(alike, inside.flatten())


@torch.no_grad()
def test_no_feature_tells_where_in_the_window_its_cell_lies(vit):
    torch.manual_seed(1)
    tile = torch.randn(1, 3, CELL, CELL)
    patch = vit.patch_embed.patch_size[0]
    features = cell_features(vit, tile.repeat(1, 1, 64 // CELL, 64 // CELL), (1, 2))
    grid = features.unflatten(1, (64 // patch,) * 2)
    torch.testing.assert_close(grid.roll(CELL // patch, dims=2), grid)
    torch.testing.assert_close(grid.roll(CELL // patch, dims=1), grid)


@torch.no_grad()
def test_the_consensus_has_one_unit_feature_for_each_patch(vit):
    torch.manual_seed(1)
    found = consensus(vit, torch.randn(2, 3, 64, 64))
    assert found.shape == (2, vit.patch_embed.num_patches, vit.embed_dim)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(found.shape[:2]))
