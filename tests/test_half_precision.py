"""Half precision against single on the tiny models, and the attention head in half precision.

``pc.load`` refuses half precision on the CPU, where it gains nothing; the models are converted here, so that the
arithmetic is tested on machines without a GPU. ``test_gpu.py`` repeats it where there is one.
"""

from copy import deepcopy
from dataclasses import replace

import pandas as pd
import pytest
import torch

import proxyclip as pc
from proxyclip.attention import masked_attention, mean_similarity, unit

IMAGES = 6


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return pc.load()


@pytest.fixture(scope="module")
def single(model) -> pd.DataFrame:
    return pc.evaluate(model, "tiny/voc", limit=IMAGES)


def converted(model: pc.ProxyCLIP, dtype: torch.dtype) -> pc.ProxyCLIP:
    return replace(model, clip=deepcopy(model.clip).to(dtype), vfm=deepcopy(model.vfm).to(dtype), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_moves_the_miou_by_less_than_a_fifth_of_a_point(model, single, dtype):
    half = pc.evaluate(converted(model, dtype), "tiny/voc", limit=IMAGES)
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_the_cpu_is_refused(dtype):
    with pytest.raises(ValueError, match="needs a GPU; on the CPU the dtype is float32"):
        pc.load(dtype=dtype)
