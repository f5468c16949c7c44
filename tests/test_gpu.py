"""What only a GPU can show: half precision and the fused kernel against the CPU."""

from __future__ import annotations

import pytest
import torch

import proxyclip as pc
from proxyclip import efficiency, flex
from proxyclip.attention import masked_attention, mean_similarity, unit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, and this machine has none")


def test_flex_attention_on_the_gpu_equals_the_blocks_of_rows():
    generator = torch.Generator("cuda").manual_seed(0)
    features = unit(torch.randn(2, 42 * 42, 384, generator=generator, device="cuda") + 0.1)
    values = torch.randn(2, 42 * 42, 768, generator=generator, device="cuda")
    pairs = [(3.0, 1.2 * mean_similarity(features, features)), (1.0, 0.05)]
    fused = flex.masked_attention(features, features, values, pairs)
    for ours, expected in zip(fused, masked_attention(features, features, values, pairs), strict=True):
        assert (ours - expected).norm() / expected.norm() < 1e-3  # tiles may multiply in TF32


def test_half_precision_on_the_gpu_agrees_with_single_precision_on_the_cpu():
    model = efficiency.untrained("dino_vits16")
    pixels = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    (expected,) = model.embed_windows(model.clip.normalize(pixels), model.vfm.normalize(pixels), [pc.Adaptive()])
    half = pc.ProxyCLIP(model.clip.half().cuda(), model.vfm.half().cuda(), 336, 112, device=torch.device("cuda"),
                        dtype=torch.float16)
    pixels = pixels.half().cuda()
    (embedding,) = half.embed_windows(half.clip.normalize(pixels), half.vfm.normalize(pixels), [pc.Adaptive()])
    assert torch.cosine_similarity(embedding.cpu(), expected).min() > 0.99


def test_table_1_is_measured_on_the_gpu():
    table = efficiency.table1(measure=("ips", "memory"), device="cuda", rows=["CLIP", "ProxyCLIP (DINO-B/16)"], batch=4)
    assert (table > 0).all(axis=None)
    assert table.loc["CLIP", "ips"] > table.loc["ProxyCLIP (DINO-B/16)", "ips"]
    assert table.attrs["dtype"] == "float16"
