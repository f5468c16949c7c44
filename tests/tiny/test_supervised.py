"""The supervised reference: a head on the tiny CLIP's frozen features, read as a rule."""

import pytest
import torch

import proxyclip as pc
from proxyclip.rules.parsing import parse_rule
from proxyclip.tiny import models, supervised
from proxyclip.tiny.segmentation_head import SegmentationHead
from proxyclip.tiny.supervised import Supervised


@pytest.fixture(scope="module")
def clip():
    return pc.load().clip


@pytest.fixture
def untrained(monkeypatch):
    torch.manual_seed(0)
    head = SegmentationHead().eval()
    monkeypatch.setattr(supervised, "shipped_head", lambda: head)
    return head


def test_an_untrained_head_answers_as_the_identity_does(clip, untrained):
    pixels = torch.randn(2, 3, 64, 64)
    proxy = torch.randn(2, 8, 16, 16)
    with torch.inference_mode():
        ours, identity = clip.embed(pixels, [Supervised(), pc.Identity()], proxy)
    torch.testing.assert_close(ours, identity, rtol=1e-4, atol=1e-5)


def test_the_head_is_smaller_than_half_a_million_parameters():
    assert sum(p.numel() for p in models.build(supervised.NAME).parameters()) < 500_000


def test_the_head_fits_the_tiny_clip_alone(clip, untrained):
    narrow = pc.load(clip="ViT-B-32", clip_weights="random", vfm="tiny_dino", vfm_weights="random").clip
    with pytest.raises(ValueError, match="tiny_supervised reads tiny_clip alone"), torch.inference_mode():
        narrow.embed(torch.randn(1, 3, 64, 64), [Supervised()])


def test_no_name_asks_for_it_on_the_command_line():
    with pytest.raises(ValueError, match="unknown rule 'supervised'"):
        parse_rule(Supervised().name)
