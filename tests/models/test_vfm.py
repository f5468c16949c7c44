"""Every family of vision foundation models: upstream checkpoints load whole, and the features are the papers'."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import reference_backbones as naive
import synthetic_checkpoints as synthetic
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import Tensor, nn

from proxyclip.models.registry import VFMS, VFMSpec
from proxyclip.models.vfm import VFM
from proxyclip.models.weights.vfm_files import load_vfm_weights

WIDTH, DEPTH, HEADS, PATCH, GRID = 32, 3, 2, 4, 6
VIT = dict(img_size=PATCH * GRID, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, num_classes=0)
SAM = dict(window_size=5, global_attn_indexes=(1,))  # 6 is no multiple of 5: windows are padded
CROP = 40


@dataclass(frozen=True)
class Family:
    """A small model of a registry row, a checkpoint in its format, and the reference."""

    row: str
    model: Callable[[], nn.Module]
    checkpoint: Callable[[], dict]
    reference: Callable[[Tensor, dict], Tensor]
    unused: tuple[str, ...] = ()


def _dinov3() -> Eva:
    """timm's DINOv3 with query and value biases, small."""
    return Eva(
        patch_size=PATCH, img_size=PATCH * GRID, dynamic_img_size=True, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS,
        qkv_bias=True, init_values=1e-5, rope_type="dinov3", rope_temperature=100, rope_rotate_half=True,
        use_rot_pos_emb=True, use_abs_pos_emb=False, num_reg_tokens=4, use_fc_norm=False, num_classes=0,
        norm_layer=partial(nn.LayerNorm, eps=1e-5),
    )


def _sam_checkpoint() -> dict:
    return synthetic.sam(WIDTH, DEPTH, HEADS, PATCH, GRID, SAM["window_size"], SAM["global_attn_indexes"])


FAMILIES = {
    "dino": Family(
        "dino_vitb8", partial(VisionTransformer, **VIT), partial(synthetic.vit, WIDTH, DEPTH, PATCH, GRID),
        partial(naive.vit, heads=HEADS, offset=0.1)),
    "dinov2": Family(
        "dinov2_vitb14", partial(VisionTransformer, **VIT, init_values=1e-5),
        partial(synthetic.vit, WIDTH, DEPTH, PATCH, GRID, scaled=True),
        partial(naive.vit, heads=HEADS, offset=0.1), unused=("mask_token",)),
    "dinov2_reg": Family(
        "dinov2_vitb14_reg", partial(VisionTransformer, **VIT, init_values=1e-5, reg_tokens=4, no_embed_class=True),
        partial(synthetic.vit, WIDTH, DEPTH, PATCH, GRID, scaled=True, registers=4),
        partial(naive.vit, heads=HEADS, antialias=True), unused=("mask_token",)),
    "dinov3": Family(
        "dinov3_vits16", _dinov3, partial(synthetic.dinov3, WIDTH, DEPTH, PATCH, HEADS),
        partial(naive.dinov3, heads=HEADS), unused=("mask_token", "bias_mask")),
    "mae": Family(
        "mae_vitb16", partial(VisionTransformer, **VIT), partial(synthetic.mae, WIDTH, DEPTH, PATCH, GRID),
        partial(naive.mae, heads=HEADS, crop=CROP)),
    "mae_full": Family(
        "mae_vitb16", partial(VisionTransformer, **VIT),
        partial(synthetic.mae, WIDTH, DEPTH, PATCH, GRID, with_decoder=True),
        partial(naive.mae, heads=HEADS, crop=CROP), unused=("mask_token", "decoder_")),
    "sam": Family(
        "sam_vit_b", partial(VisionTransformerSAM, **VIT, qkv_bias=True, use_rel_pos=True, **SAM), _sam_checkpoint,
        partial(naive.sam, heads=HEADS, window=5, global_blocks=(1,), side=PATCH * GRID),
        unused=("prompt_encoder", "mask_decoder")),
}


def tensors(checkpoint: dict) -> dict[str, Tensor]:
    return checkpoint.get("model", checkpoint)


def load(family: Family, checkpoint: dict, path: Path) -> VFM:
    torch.save(checkpoint, path)
    backbone = family.model()
    load_vfm_weights(backbone, path, family.row)
    spec = VFMS[family.row]
    side = PATCH * GRID if spec.feature == "neck" else spec.input_size
    small = VFMSpec(spec.family, "small", spec.feature, spec.position, side, spec.mean, spec.std)
    return VFM(backbone, small, family.row, crop=CROP)


@pytest.mark.parametrize("size", [(24, 24), (40, 40), (24, 40), (16, 12), (36, 28)])
@pytest.mark.parametrize("name", FAMILIES)
def test_features_of_an_upstream_checkpoint_match_the_paper(name, size, tmp_path):
    family = FAMILIES[name]
    checkpoint = family.checkpoint()
    vfm = load(family, checkpoint, tmp_path / "weights.pth")
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(3))
    vfm.features(pixels[:1, :, :12, :16])  # another grid before changes nothing
    ours = vfm.features(pixels)
    exact = {key: value if value.dtype == torch.bfloat16 else value.double()
             for key, value in tensors(checkpoint).items()}
    for window, features in zip(pixels, ours, strict=True):
        expected = family.reference(window.double(), exact).permute(2, 0, 1)
        assert features.shape == expected.shape
        torch.testing.assert_close(features.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_tensor_of_an_upstream_checkpoint_changes_the_features(name, tmp_path):
    family = FAMILIES[name]
    checkpoint = family.checkpoint()
    pixels = torch.randn(1, 3, 32, 24, generator=torch.Generator().manual_seed(3))
    before = load(family, checkpoint, tmp_path / "weights.pth").features(pixels)
    ignored = []
    for key, value in tensors(checkpoint).items():
        noise = 0.2 * torch.randn(value.shape, generator=torch.Generator().manual_seed(4))
        tensors(checkpoint)[key] = (value + noise.abs()).to(value.dtype)
        after = load(family, checkpoint, tmp_path / "weights.pth").features(pixels)
        tensors(checkpoint)[key] = value
        if torch.allclose(before, after, atol=1e-6):
            ignored.append(key)
    assert all(any(part in key for part in family.unused) for key in ignored), ignored
    assert bool(ignored) == bool(family.unused)


@pytest.mark.parametrize("name", [name for name, spec in VFMS.items() if spec.source == "timm"])
def test_the_registry_agrees_with_the_model_of_timm_that_it_names(name):
    import timm

    spec = VFMS[name]
    with torch.device("meta"):
        backbone = timm.create_model(spec.model, pretrained=False, num_classes=0)
    assert backbone.pretrained_cfg["hf_hub_id"].startswith("timm/")
    assert tuple(backbone.pretrained_cfg["mean"]) == spec.mean and tuple(backbone.pretrained_cfg["std"]) == spec.std
    assert (getattr(backbone, "pos_embed", None) is not None) == (spec.position is not None or spec.family == "SAM")
    if spec.feature == "tokens":
        assert isinstance(backbone.norm, nn.LayerNorm)  # not moved behind a pooling
