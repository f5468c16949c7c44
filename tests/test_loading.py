"""The option ``compile``: which blocks are compiled, and that nothing else changes."""

import pytest
import torch

import proxyclip as pc
from proxyclip.loading import compile_blocks


@pytest.mark.parametrize(("vfm", "blocks"), [("tiny_dino", 9), ("tiny_sam", 9), ("tiny_sd", 5), (None, 5)])
def test_the_blocks_of_both_backbones_are_compiled(vfm, blocks):
    model = pc.load(vfm=vfm)
    compiled = compile_blocks(model, backend="eager")  # what torch.compile traces, without waiting for a compiler
    assert len(compiled) == blocks


@pytest.mark.parametrize("vfm", ["tiny_dino", "tiny_sam"])
def test_a_compiled_model_gives_the_same_logits(vfm):
    image, classes = pc.dataset("tiny/context")[0].image, ["sky", "grass; leaves", "ball"]
    expected = pc.load(vfm=vfm).logits(image, classes)
    model = pc.load(vfm=vfm)
    compile_blocks(model, backend="aot_eager")
    torch.testing.assert_close(model.logits(image, classes), expected, atol=1e-5, rtol=0)


def test_load_compiles_when_asked(monkeypatch):
    seen = []
    monkeypatch.setattr("proxyclip.loading.compile_blocks", seen.append)
    assert pc.load(compile=True) in seen and pc.load() not in seen
