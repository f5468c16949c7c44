"""The orthogonalised updates of Muon."""

import torch

from training.optim import orthogonalise


def test_orthogonalised_updates_have_singular_values_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(2, 48, 192)).float())
    assert values.min() > 0.5 and values.max() < 1.4
