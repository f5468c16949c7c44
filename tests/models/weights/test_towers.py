"""Which of open_clip's models can be read (OpenAI, MetaCLIP, LAION, DFN, DataComp), and why others are refused."""

import numpy as np
import open_clip
import pytest
import torch

import proxyclip as pc
from proxyclip.models.weights import clip_files
from proxyclip.rules.block import refuse_unreadable

RULES = [pc.Vanilla(), pc.MaskCLIP(), pc.SCLIP(), pc.GEM(), pc.ClearCLIP(), pc.NACLIP(), pc.ClipAttention("qq")]


@pytest.fixture(scope="module")
def smallest() -> pc.ProxyCLIP:
    """The smallest tower of open_clip that can be read, untrained: GELU, patches of 32 pixels, embeddings of 256."""
    torch.manual_seed(0)
    return pc.load("paper", clip="ViT-S-32-alt", clip_weights="random", vfm=None, window=224, stride=224,
                   short_side=None)


def test_every_rule_that_reads_clip_alone_reads_another_tower(smallest):
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    for embedding in smallest.embed(image, RULES):
        assert embedding.windows.shape == (1, 256, 7, 7)
        torch.testing.assert_close(embedding.windows.norm(dim=1), torch.ones(1, 7, 7), rtol=0, atol=1e-5)


def test_the_trunk_and_the_text_tower_are_those_of_open_clip(smallest):
    """The trunk is right if running the last block as trained gives open_clip's own image embedding."""
    model, pixels = smallest.clip.model, torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        tokens = model.visual.transformer.resblocks[-1](smallest.clip.trunk(pixels).states[-1])
        found = model.visual.ln_post(tokens[:, 0]) @ model.visual.proj
        torch.testing.assert_close(found, model.encode_image(pixels), rtol=0, atol=1e-5)
        words = smallest.clip.tokenizer(["a photo of a horse", "grass"])
        torch.testing.assert_close(smallest.clip.encode_text(words), model.encode_text(words), rtol=0, atol=1e-5)


PUBLISHED = [
    ("ViT-B-16-quickgelu", "openai"), ("ViT-L-14-quickgelu", "openai"),
    ("ViT-B-16-quickgelu", "metaclip_400m"), ("ViT-B-16-quickgelu", "metaclip_fullcc"),
    ("ViT-L-14-quickgelu", "metaclip_400m"), ("ViT-H-14-quickgelu", "metaclip_fullcc"),
    ("ViT-B-16-quickgelu", "dfn2b"), ("ViT-L-14-quickgelu", "dfn2b"), ("ViT-H-14-378-quickgelu", "dfn5b"),
    ("ViT-B-16", "laion2b_s34b_b88k"), ("ViT-L-14", "laion2b_s32b_b82k"), ("ViT-H-14", "laion2b_s32b_b79k"),
    ("ViT-bigG-14", "laion2b_s39b_b160k"), ("ViT-B-16", "datacomp_xl_s13b_b90k"),
]


class Reached(Exception):
    """Everything was accepted, and the download would begin now."""


@pytest.mark.parametrize(("architecture", "tag"), PUBLISHED)
def test_published_weights_are_accepted_under_the_activation_that_they_were_trained_with(
    architecture, tag, monkeypatch
):
    def reach(repository, *_):
        raise Reached(repository)

    monkeypatch.setattr(clip_files, "fetch", reach)
    with pytest.raises(Reached):
        pc.load(clip=architecture, clip_weights=tag, vfm=None)
    quick = architecture.endswith("-quickgelu")
    other = architecture.removesuffix("-quickgelu") if quick else f"{architecture}-quickgelu"
    if other in open_clip.list_models() and tag in open_clip.list_pretrained_tags_by_model(other):
        with pytest.raises(ValueError, match=f"use clip='{architecture}'"):
            pc.load(clip=other, clip_weights=tag, vfm=None)


REFUSED = {
    "ViT-B-16-SigLIP": "its image embedding comes from a pooling head with attention",
    "ViT-B-16-SigLIP2": "its image embedding comes from a pooling head with attention",
    "PE-Core-T-16-384": "its image embedding comes from a pooling head with attention",
    "coca_ViT-B-32": "its image embedding comes from a pooling head with attention",
    "EVA02-B-16": "its image tower is timm's EVA, whose blocks have rotary positions",
    "EVA01-g-14": "its image tower is timm's EVA",
    "MobileCLIP-B": "its image tower is timm's vit_base_mci_224",
    "xlm-roberta-base-ViT-B-32": "its text tower is xlm-roberta-base of transformers",
    "ViT-L-14-CLIPA": "its image embedding is not the projected class token",
    "RN50": "its image tower is not open_clip's Vision Transformer",
}


@pytest.mark.parametrize("architecture", [name for name in REFUSED if name in open_clip.list_models()])  # 2.30: fewer
def test_a_tower_that_cannot_be_read_says_why_in_one_sentence_before_anything_is_loaded(architecture):
    with pytest.raises(ValueError, match=f"{architecture} cannot be read densely: {REFUSED[architecture]}") as caught:
        pc.load(clip=architecture, clip_weights="random", vfm=None)
    assert "\n" not in str(caught.value) and str(caught.value).count(". ") == 0


def test_every_architecture_of_open_clip_is_read_or_refused():
    """None ends in another error, such as a configuration that the tower's constructor does not take."""
    read = set()
    for architecture in open_clip.list_models():
        try:
            with torch.device("meta"):
                refuse_unreadable(clip_files._untrained(architecture), architecture)
            read.add(architecture)
        except ValueError as error:
            assert f"{architecture} cannot be read densely: it" in str(error)
    assert {"ViT-B-16", "ViT-B-16-quickgelu", "ViT-L-14", "ViT-H-14-quickgelu", "ViT-bigG-14", "ViT-S-32-alt"} <= read
