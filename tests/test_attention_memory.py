"""Memory of the attention head, measured by torch's own allocator events."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from proxyclip.attention import masked_attention, mean_similarity, unit

SAM_TOKENS, WIDTH, CHANNELS = 64 * 64, 768, 256


def peak_bytes(function) -> int:
    """Largest number of bytes that were allocated during a call and not yet freed."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        function()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def test_the_measure_sees_what_is_held_at_once():
    peak = peak_bytes(lambda: [torch.zeros(1000, 1000) for _ in range(3)])
    assert peak == pytest.approx(3 * 4_000_000, rel=0.01)


def head_of_sam() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unit features, values and mean similarity of random patches."""
    generator = torch.Generator().manual_seed(0)
    features = unit(torch.randn(1, SAM_TOKENS, CHANNELS, generator=generator) + 0.3)
    values = torch.randn(1, SAM_TOKENS, WIDTH, generator=generator)
    return features, values, mean_similarity(features, features)


@pytest.mark.parametrize("rules", [1, 5])
def test_sams_4096_tokens_take_less_than_one_similarity_matrix(rules):
    """All that the head allocates, the outputs left aside; it does not grow with the number of rules."""
    features, values, mean = head_of_sam()
    pairs = [(3.0, beta * mean) for beta in (1.2, 1.0, 1.4, 1.6, 1.8)[:rules]]
    peak = peak_bytes(lambda: masked_attention(features, features, values, pairs))
    outputs = rules * values.numel() * 4
    assert peak - outputs <= SAM_TOKENS**2 * 4
