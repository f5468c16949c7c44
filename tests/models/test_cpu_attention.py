"""Attention in blocks for bfloat16 on a CPU: it is attention, and it takes the place of the plain calls only."""

import pytest
import torch
import torch.nn.functional as F

from proxyclip.models import cpu_attention
from proxyclip.models.cpu_attention import attention_in_blocks, faster_attention


@pytest.mark.parametrize("entries", [1, 40, 200, 2**20])
@pytest.mark.parametrize(("lead", "queries", "keys", "width"), [
    ((2, 3), 7, 5, 4), ((1,), 9, 9, 6), ((2, 2, 2), 4, 8, 3),
])
def test_blocks_of_any_size_give_attention(lead, queries, keys, width, entries, monkeypatch):
    monkeypatch.setattr(cpu_attention, "BLOCK_ENTRIES", entries)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(*lead, count, size, dtype=torch.float64, generator=generator)
               for count, size in ((queries, width), (keys, width), (keys, width + 1)))
    for scale in (None, 1.0):
        weights = (q @ k.mT * (width**-0.5 if scale is None else scale)).softmax(dim=-1)
        torch.testing.assert_close(attention_in_blocks(q, k, v, scale), weights @ v)


def test_only_plain_attention_in_bfloat16_on_a_cpu_is_exchanged(monkeypatch):
    seen = []
    monkeypatch.setattr(cpu_attention, "attention_in_blocks", lambda *args, scale: seen.append(scale) or args[2])
    cpu, half = torch.device("cpu"), torch.bfloat16
    q = torch.randn(1, 2, 5, 4)
    with faster_attention(torch.float32, cpu):
        F.scaled_dot_product_attention(q, q, q)
    F.scaled_dot_product_attention(q.to(half), q.to(half), q.to(half))
    with faster_attention(half, cpu):
        F.scaled_dot_product_attention(q, q, q)
        q = q.to(half)
        F.scaled_dot_product_attention(q, q, q, attn_mask=torch.zeros(5, 5, dtype=half))
        F.scaled_dot_product_attention(q, q, q, is_causal=True)
        assert not seen
        F.scaled_dot_product_attention(q, q, q, attn_mask=None, dropout_p=0.0)
        F.scaled_dot_product_attention(q, q, q, scale=1.0)
    assert seen == [None, 1.0]
