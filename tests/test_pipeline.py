"""``model.logits`` against the naive pipeline of ``reference.py``, float32: full-size models with DEPTH blocks."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
import open_clip
import pytest
import reference as naive
import reference_backbones as backbones
import synthetic_checkpoints as synthetic
import timm
import torch

import proxyclip as pc
from proxyclip.loading import load_vfm
from proxyclip.models.registry import VFMS
from proxyclip.text import TextEmbeddings, Vocabulary

#: Blocks of every network, instead of 12: what a block does is the same, and all other sizes are the published ones.
DEPTH = 2
#: Pixels of a side that SAM sees, instead of 1024.
SAM_SIDE = 512


@pytest.fixture(scope="module", autouse=True)
def few_blocks() -> Iterator[None]:
    create, named = timm.create_model, open_clip.factory._MODEL_CONFIGS
    config = deepcopy(named["ViT-B-16-quickgelu"])
    config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = DEPTH

    def shallow(name: str, **options: object) -> torch.nn.Module:
        if name.startswith("samvit"):
            options |= {"global_attn_indexes": (DEPTH - 1,), "img_size": SAM_SIDE}
        return create(name, depth=DEPTH, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(named, "ViT-B-16-quickgelu", config)
        patch.setattr(timm, "create_model", shallow)
        patch.setitem(VFMS, "sam_vit_b", replace(VFMS["sam_vit_b"], input_size=SAM_SIDE))
        yield


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth blobs of colour under noise, so that patches are neither all alike nor all different."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 40.0
    waves = sum(np.sin(np.einsum("c,hw->hwc", rng.normal(size=3), y) + np.einsum("c,hw->hwc", rng.normal(size=3), x)
                       + rng.uniform(0, 6, 3)) for _ in range(4))
    return np.clip(128 + 45 * waves + rng.normal(scale=12, size=(height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory):
    """OpenAI's ViT-B-16.pt with random values."""
    state = synthetic.clip(768, DEPTH, 16, 14, 512, DEPTH, 512)
    return synthetic.write_torchscript(synthetic.openai(state, 224), tmp_path_factory.mktemp("clip") / "ViT-B-16.pt")


@pytest.fixture(scope="module")
def reference(clip_file) -> naive.Clip:
    state = torch.jit.load(clip_file).state_dict()
    return naive.Clip({name: value.float() for name, value in state.items() if value.ndim}, heads=12, text_heads=8)


@pytest.fixture(scope="module")
def model(clip_file) -> pc.ProxyCLIP:
    """As a user loads it: the paper's CLIP from a file; the vision foundation model is put in by each test."""
    return pc.load("paper", clip_weights=clip_file, vfm=None, short_side=None)


@pytest.fixture(scope="module")
def text() -> TextEmbeddings:
    rows = naive.unit(torch.randn(3, 512, generator=torch.Generator().manual_seed(1)))
    return TextEmbeddings(Vocabulary.parse(["a", "b", "c"]), rows)


def agree(ours: torch.Tensor, expected: torch.Tensor, undecided: torch.Tensor | None = None) -> None:
    """Largest difference over largest value, 1e-4; and the result is no constant.

    A few pixels hang on a similarity that lies on the threshold to within single precision; whether it counts moves
    them by one of several hundred patches.
    """
    assert ours.shape == expected.shape and ours.dtype == torch.float32
    assert expected.std() > 0.01 * expected.abs().max()
    difference = (ours - expected).abs() / expected.abs().max()
    if undecided is not None:
        assert undecided.float().mean() < 0.1
        assert difference.max() <= 1e-2
        difference = difference[:, ~undecided]
    assert difference.max() <= 1e-4


VITS = {
    "dino_vits16": (partial(synthetic.vit, 384, DEPTH, 16, 14), partial(backbones.vit, heads=6, offset=0.1)),
    "dino_vitb16": (partial(synthetic.vit, 768, DEPTH, 16, 14), partial(backbones.vit, heads=12, offset=0.1)),
    "dino_vits8": (partial(synthetic.vit, 384, DEPTH, 8, 28), partial(backbones.vit, heads=6, offset=0.1)),
    "dinov2_vits14": (partial(synthetic.vit, 384, DEPTH, 14, 37, scaled=True),
                      partial(backbones.vit, heads=6, offset=0.1)),
    "dinov2_vits14_reg": (partial(synthetic.vit, 384, DEPTH, 14, 37, scaled=True, registers=4),
                          partial(backbones.vit, heads=6, antialias=True)),
    "dinov3_vits16": (partial(synthetic.dinov3, 384, DEPTH, 16, 6), partial(backbones.dinov3, heads=6)),
    "mae_vitb16": (partial(synthetic.mae, 768, DEPTH, 16, 14), partial(backbones.mae, heads=12, crop=336)),
    "sam_vit_b": (partial(synthetic.sam, 768, DEPTH, 12, 16, SAM_SIDE // 16, 14, (DEPTH - 1,)),
                  partial(backbones.sam, heads=12, window=14, global_blocks=(DEPTH - 1,), side=SAM_SIDE)),
}


def both(name: str, model: pc.ProxyCLIP, path, crop: int = 336) -> tuple[pc.ProxyCLIP, object]:
    """The model with this VFM from an upstream file, and the reference of the VFM on the same weights."""
    checkpoint, forward = VITS[name]
    content = checkpoint()
    torch.save(content, path)

    def features(window: torch.Tensor) -> torch.Tensor:
        found = forward(window, state=content.get("model", content))
        cosines = naive.unit(found.flatten(0, 1)) @ naive.unit(found.flatten(0, 1)).T
        assert 0.05 < (cosines > 1.2 * cosines.mean()).float().mean() < 0.95  # the mask has something to decide
        return found

    return replace(model, vfm=load_vfm(name, path, crop=crop)), features


@pytest.fixture(scope="module")
def windows() -> dict:
    """CLIP's tokens of the windows of the 336 x 448 picture, which all models share."""
    return {}


@pytest.mark.parametrize("name", ["dino_vitb16", "dinov2_vits14", "dinov2_vits14_reg", "dinov3_vits16", "mae_vitb16"])
def test_logits_of_336_x_448_pixels_match_the_naive_pipeline(name, model, reference, text, windows, tmp_path):
    full, features = both(name, model, tmp_path / "vfm.pth")
    image = picture(336, 448)
    agree(full.logits(image, text), *naive.logits(image, text.embeddings, reference, features, 336, 112, cache=windows))


def test_logits_with_sam_match_the_naive_pipeline(model, reference, text, tmp_path):
    full, features = both("sam_vit_b", model, tmp_path / "sam.pth")
    image = picture(336, 300)
    agree(full.logits(image, text), *naive.logits(image, text.embeddings, reference, features, 336, 112))


def test_logits_in_the_setting_of_cityscapes_match_the_naive_pipeline(model, reference, text, tmp_path):
    full, features = both("dino_vits8", model, tmp_path / "dino.pth", crop=224)
    full = replace(full, window=224, stride=112, short_side=224)
    image = picture(140, 210, seed=1)
    expected = naive.logits(image, text.embeddings, reference, features, 224, 112, short_side=224)
    agree(full.logits(image, text), *expected)


@pytest.mark.parametrize("size", [(100, 150), (61, 40), (120, 400)])
def test_logits_of_images_smaller_than_the_window_match_the_naive_pipeline(size, model, reference, text, tmp_path):
    full, features = both("dino_vits16", model, tmp_path / "dino.pth")
    image = picture(*size)
    agree(full.logits(image, text), *naive.logits(image, text.embeddings, reference, features, 336, 112))


def test_a_query_goes_through_80_prompts_of_77_tokens(model, reference):
    expected = reference.query("horse", open_clip.OPENAI_IMAGENET_TEMPLATES, open_clip.get_tokenizer("ViT-B-16"))
    agree(model.encode_classes(["horse"]).embeddings, expected[None])
