"""Products in bfloat16 on a CPU: they are the same products, and take the place of the plain calls only."""

import pytest
import torch
import torch.nn.functional as F

from proxyclip.models import cpu_bfloat16
from proxyclip.models.cpu_bfloat16 import attention_in_blocks, faster_products, packed_linear


@pytest.mark.parametrize("entries", [1, 40, 200, 2**20])
@pytest.mark.parametrize(("lead", "queries", "keys", "width"), [
    ((2, 3), 7, 5, 4), ((1,), 9, 9, 6), ((2, 2, 2), 4, 8, 3),
])
def test_blocks_of_any_size_give_attention(lead, queries, keys, width, entries, monkeypatch):
    monkeypatch.setattr(cpu_bfloat16, "BLOCK_ENTRIES", entries)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(*lead, count, size, dtype=torch.float64, generator=generator)
               for count, size in ((queries, width), (keys, width), (keys, width + 1)))
    for scale in (None, 1.0):
        weights = (q @ k.mT * (width**-0.5 if scale is None else scale)).softmax(dim=-1)
        torch.testing.assert_close(attention_in_blocks(q, k, v, scale), weights @ v)


def test_only_plain_attention_in_bfloat16_on_a_cpu_is_exchanged(monkeypatch):
    seen = []
    monkeypatch.setattr(cpu_bfloat16, "attention_in_blocks", lambda *args, scale: seen.append(scale) or args[2])
    cpu, half = torch.device("cpu"), torch.bfloat16
    q = torch.randn(1, 2, 5, 4)
    with faster_products(torch.float32, cpu):
        F.scaled_dot_product_attention(q, q, q)
    F.scaled_dot_product_attention(q.to(half), q.to(half), q.to(half))
    with faster_products(half, cpu):
        F.scaled_dot_product_attention(q, q, q)
        q = q.to(half)
        F.scaled_dot_product_attention(q, q, q, attn_mask=torch.zeros(5, 5, dtype=half))
        F.scaled_dot_product_attention(q, q, q, is_causal=True)
        assert not seen
        F.scaled_dot_product_attention(q, q, q, attn_mask=None, dropout_p=0.0)
        F.scaled_dot_product_attention(q, q, q, scale=1.0)
    assert seen == [None, 1.0]


needs_packing = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")),
    reason="this PyTorch has no oneDNN that packs weights; the plain layer is used")


def half(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0])).bfloat16()


@needs_packing
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_packed_layer_is_the_layer_also_after_its_weight_was_changed_in_place(with_bias):
    weight, rows, bias = half(48, 32), half(2, 150, 32), half(48) if with_bias else None
    with torch.inference_mode():
        for factor in (1.0, -0.5):
            weight.mul_(factor)
            exact = F.linear(rows.double(), weight.double(), None if bias is None else bias.double())
            found = packed_linear(rows, weight, bias)
            assert found.dtype == torch.bfloat16
            torch.testing.assert_close(found.double(), exact, rtol=2**-7, atol=2**-5)


@needs_packing
def test_only_large_layers_in_bfloat16_without_gradients_are_packed_and_a_copy_goes_with_its_weight():
    rows, weight = half(cpu_bfloat16.PACKED_ROWS, 32), half(16, 32)
    before = len(cpu_bfloat16._packed)
    with faster_products(torch.bfloat16, torch.device("cpu")):
        F.linear(rows, weight)
        with torch.inference_mode():
            F.linear(rows.float(), weight.float())
            F.linear(rows[1:], weight)
            assert len(cpu_bfloat16._packed) == before
            F.linear(rows, weight)
    assert len(cpu_bfloat16._packed) == before + 1
    del weight
    assert len(cpu_bfloat16._packed) == before
