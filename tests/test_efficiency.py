"""Chapter C: counts against Table 1 and against arithmetic, fast paths against plain ones. No timing is tested."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_clip import small_clip
from small_model import small_model
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

import proxyclip as pc
from benchmarks import plain
from proxyclip import efficiency
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement import paper
from proxyclip.supplement.result_files import load
from proxyclip.system.timing import compare, cpu_threads, extra_memory


@pytest.fixture(scope="module")
def table():
    return efficiency.table1(measure=("params", "flops"))


@pytest.fixture
def model() -> ProxyCLIP:
    """A small DINO beside a CLIP that is deep enough for GEM."""
    return replace(small_model(), clip=small_clip(layers=8))


def transformer_macs(tokens: int, width: int, blocks: int) -> int:
    """Multiply-accumulates of plain Transformer blocks: projections, the two products of attention, MLP."""
    return blocks * (12 * tokens * width**2 + 2 * tokens**2 * width)


def test_parameters_round_to_table_1(table):
    assert list(table.index) == list(paper.TABLE_1)
    for method, (params, *_) in paper.TABLE_1.items():
        assert round(table.loc[method, "params_m"], 1) == params


def test_clip_and_maskclip_cost_what_arithmetic_says(table):
    tokens, width, queries = 21 * 21 + 1, 768, 150
    shared = (tokens - 1) * 3 * 16**2 * width + transformer_macs(tokens, width, 11)
    shared += (tokens - 1) * width * 512 + (tokens - 1) * 512 * queries
    # the class token is no query of the last block
    clip = shared + 3 * tokens * width**2 + 2 * (tokens - 1) * tokens * width + 9 * (tokens - 1) * width**2
    assert table.loc["CLIP", "flops_g"] * 1e9 == pytest.approx(clip, rel=1e-12)
    maskclip = shared + tokens * width**2 + 9 * (tokens - 1) * width**2
    assert table.loc["MaskCLIP", "flops_g"] * 1e9 == pytest.approx(maskclip, rel=1e-12)


def test_proxyclip_costs_what_arithmetic_says(table):
    tokens, patches, width, queries = 21 * 21 + 1, 42 * 42, 768, 150
    clip = (tokens - 1) * 3 * 16**2 * width + transformer_macs(tokens, width, 11)
    values = tokens * width**2 + (tokens - 1) * width**2
    dino = patches * 3 * 8**2 * width + transformer_macs(patches + 1, width, 12)
    clip_patches = tokens - 1
    head = patches**2 * width + patches**2 * clip_patches  # similarities, averaged resizing weights
    head += (clip_patches + 1) * width * 512 + clip_patches**2 * width  # values and bias, projected; covariance
    head += patches * clip_patches * (512 + clip_patches) + patches * 512 * queries  # embedding, variance, scores
    assert table.loc["ProxyCLIP (DINO-B/8)", "flops_g"] * 1e9 == pytest.approx(clip + values + dino + head, rel=1e-12)


def test_what_chapter_c_counts_as_left_out_explains_the_rest_of_the_papers_counts(table):
    baseline = load(Path(__file__).parent / "baselines" / "C_efficiency.json")  # what the chapter counts equals it
    left_out = {record.method: record.value for record in baseline.records if record.metric == "flops_left_out"}
    for method, (*_, flops) in paper.TABLE_1.items():
        assert abs((table.loc[method, "flops_g"] + left_out[method]) / flops - 1) < 0.005, method


@pytest.mark.parametrize("rule", [pc.Vanilla(), pc.GEM(), pc.Adaptive()], ids=lambda rule: rule.name)
def test_counting_shapes_counts_what_the_cpu_runs(rule, model):

    def fused(query, key, value, *args, **kwargs):
        return sdpa_flop_count(query, key, value)

    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping={kernel: fused}) as counter:
        efficiency.per_image(model, rule, 32, queries=5)()
    assert efficiency.count_macs(model, rule, 32, queries=5) == counter.get_total_flops() // 2


def test_a_model_that_keeps_the_trunks_of_its_windows_is_counted_as_any_other(model):
    plain = efficiency.count_macs(model, pc.Adaptive(), 32, queries=5)
    model.clip.recent.most = 4
    efficiency.per_image(model, pc.Adaptive(), 32, queries=5)()
    assert efficiency.count_macs(model, pc.Adaptive(), 32, queries=5) == plain


@pytest.mark.parametrize(("arguments", "sentence"), [
    ({"measure": ("params", "watts")}, "measure must be from params, flops, ips, memory, got 'watts'"),
    ({"rows": ["SCLIP"]}, "rows must be from CLIP, MaskCLIP, .*, got 'SCLIP'"),
])
def test_an_unknown_measure_or_row_is_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        efficiency.table1(**arguments)


# ------------------------------------------------------------------------------------------ fast paths and plain ones


def test_the_package_computes_what_the_plain_implementation_computes(model):
    pixels = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        proxy = model.vfm.features(model.vfm.normalize(pixels))
        (together,) = model.clip.embed(model.clip.normalize(pixels), [pc.Adaptive()], proxy)
        for embedding, window in zip(together, pixels, strict=True):
            assert (embedding - plain.embed_window(model, window)).abs().max() < 1e-5
            assert (embedding - plain.embed_window(model, window, fused=True)).abs().max() < 1e-5


# ------------------------------------------------------------------------------------------------ stopwatch and scales


def test_extra_memory_is_the_most_that_was_alive_at_once():
    def work():
        first = torch.empty(2**20)
        second = torch.empty(2**21)
        first.add_(1)
        del first
        third = torch.empty(2**19)
        return second.view(2, -1), third

    assert extra_memory(work) == 4 * (2**20 + 2**21)


def test_functions_are_timed_in_turns_after_a_warm_up():
    calls = []
    clock = iter(range(100))
    timings = compare({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3, warmup=1,
                      clock=lambda: float(next(clock)))
    assert calls == ["a", "b"] * 4
    assert timings["a"].seconds == (1.0, 1.0, 1.0)
    assert timings["b"].median == 1.0


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), cpu_threads(1):
        raise RuntimeError("stop")
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"), cpu_threads(0):
        pass
