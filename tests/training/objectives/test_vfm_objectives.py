"""The targets of the tiny DINOs."""

import torch

from training.objectives.vfm_objectives import sinkhorn


def test_sinkhorn_balances_the_prototypes():
    torch.manual_seed(0)
    q = sinkhorn(torch.randn(256, 16) * 0.1 + torch.arange(16) * 0.02, rounds=10)
    torch.testing.assert_close(q.sum(1), torch.ones(256))
    assert (q.sum(0) / 16).sub(1).abs().max() < 0.05
