"""Half precision against single on the tiny models, and the attention head in half precision.

``pc.load`` refuses float16 on the CPU, and bfloat16 on one that does not multiply it; the models are converted here, so
that the arithmetic is tested on every machine. ``test_gpu.py`` repeats it where there is a GPU.
"""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

import proxyclip as pc
from benchmarks.comparison import in_dtype
from proxyclip.attention import masked_attention, mean_similarity, unit
from proxyclip.system import devices
from proxyclip.system.devices import check_dtype

IMAGES = 4


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return pc.load()


@pytest.fixture(scope="module")
def single(model) -> pd.DataFrame:
    return pc.evaluate(model, "tiny/voc", limit=IMAGES)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_moves_the_miou_by_less_than_a_fifth_of_a_point(model, single, dtype):
    half = pc.evaluate(in_dtype(model, dtype), "tiny/voc", limit=IMAGES)
    (before,), (after,) = single.attrs["geometry"], half.attrs["geometry"]
    # Rows that keep nothing but their maximum would measure something else: a coarser number ties more entries with
    # that maximum, and every tie lets another patch in. Here the mask keeps as much in half precision as in single.
    assert before["rows_alone"] <= 1
    # An entry changes sides where its cosine is closer to the threshold than the rounding of the format, so the limit
    # scales with that: bfloat16 is eight times as coarse as float16.
    coarse = torch.finfo(dtype).eps / torch.finfo(torch.float16).eps
    assert abs(after["kept"] - before["kept"]) <= 0.01 * coarse  # per cent of all entries
    assert abs(half.miou[0] - single.miou[0]) <= 0.2
    assert single.miou[0] > 10  # the models have learnt something to lose


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_the_attention_head_in_half_precision_stays_within_its_rounding(dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    rows = unit(torch.randn(2, 100, 64, generator=generator) + 0.3).to(dtype)
    values = torch.randn(2, 100, 32, generator=generator).to(dtype)
    mean = mean_similarity(rows, rows)
    assert mean.dtype == torch.float32
    exact = mean_similarity(rows.double(), rows.double())
    torch.testing.assert_close(mean.double(), exact, rtol=1e-5, atol=1e-6)
    (half,) = masked_attention(rows, rows, values, [(3.0, -1.0)])  # nothing masked: no entry can change sides
    (full,) = masked_attention(rows.double(), rows.double(), values.double(), [(3.0, -1.0)])
    assert half.dtype == dtype
    assert (half.double() - full).abs().max() <= tolerance * full.abs().max()


@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="this PyTorch has the older functions alone")
def test_older_versions_of_pytorch_know_the_instructions_too(monkeypatch):
    newer, names = devices.multiplies_bfloat16(), ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    older = SimpleNamespace(**{name: getattr(torch.cpu, name) for name in names})
    monkeypatch.setattr(devices, "torch", SimpleNamespace(cpu=older, backends=torch.backends))
    assert devices.multiplies_bfloat16() == newer


@pytest.mark.parametrize(("multiplies", "device", "auto"), [
    (True, "cpu", torch.bfloat16), (False, "cpu", torch.float32), (False, "cuda", torch.float16),
])
def test_auto_is_the_format_that_the_device_multiplies_fastest(multiplies, device, auto, monkeypatch):
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: multiplies)
    assert check_dtype("auto", device) == auto
    assert check_dtype("float32", device) == check_dtype(torch.float32, device) == torch.float32


def test_a_format_that_gains_nothing_on_this_cpu_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: False)
    with pytest.raises(ValueError, match="float16 needs a GPU; on the CPU the dtype is float32, or bfloat16"):
        pc.load(dtype=torch.float16)
    with pytest.raises(ValueError, match="no instructions that multiply it \\(AVX-512 BF16 or AMX\\)"):
        pc.load(dtype="bfloat16")
    with pytest.raises(ValueError, match="dtype must be auto, float32, float16 or bfloat16, got int8"):
        pc.load(dtype="int8")


@pytest.mark.parametrize("vfm", ["tiny_dino", "tiny_sam", "tiny_sd"])
def test_bfloat16_runs_through_load_and_only_the_networks_are_in_it(vfm, monkeypatch):
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: True)
    data = pc.dataset("tiny/voc")
    image = data[0].image
    single, half = (pc.load(vfm=vfm, dtype=dtype) for dtype in ("float32", "auto"))
    assert half.dtype == torch.bfloat16 == next(half.vfm.parameters()).dtype == next(half.clip.parameters()).dtype
    assert half.logits(image, data.vocabulary).dtype == torch.float32
    text = single.encode_classes(data.vocabulary).embeddings
    scores, masks = zip(*(scores_and_masks(model, image, text) for model in (single, half)), strict=True)
    apart = (scores[0] - scores[1]).abs().amax(1)  # (windows, N), the largest of the classes
    changed = masks[0] != masks[1]
    equal = ~changed.any(2)
    # Where the mask is equal, only the rounding of the format is left. An entry changes sides where its cosine is about
    # at the threshold; a row that keeps few patches then moves by as much as the patch that enters or leaves.
    assert equal.float().mean() >= 0.1
    assert apart[equal].max() <= 0.02
    assert changed.float().mean() <= 0.02
    same = half.segment(image, data.vocabulary).labels == single.segment(image, data.vocabulary).labels
    assert same.mean() >= 0.97


def scores_and_masks(model, image, text):
    """Cosines with the words at each patch, (windows, Q, N), and what the adaptive rule keeps, (windows, N, N)."""
    parts = [model.vfm.features(part.cut(part.normalized(model.vfm)))
             for part in model.windows(model.prepare_windows(image))]
    rows = torch.nn.functional.normalize(torch.cat(parts).float().flatten(2), dim=1)
    similarity = rows.mT @ rows
    (embedding,) = model.embed(image, [pc.Adaptive(1.2, 3.0)])
    return embedding.scores(text).flatten(2), similarity >= 1.2 * similarity.mean((1, 2), keepdim=True)
