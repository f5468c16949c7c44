"""The tiny models: small sizes of the classes of open_clip, timm and diffusers, and their shipped weights."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import open_clip.model
import timm.models.vision_transformer as timm_vit
import timm.models.vision_transformer_sam as timm_sam
from safetensors import SafetensorError, safe_open
from torch import nn

from proxyclip.models.weights.digests import sha256_of
from proxyclip.models.weights.formats import load_strictly, read_state_dict
from proxyclip.system.extras import MissingPackageError, explained
from proxyclip.tiny.segmentation_head import SegmentationHead
from proxyclip.tiny.world.captions import CONTEXT_LENGTH, Tokenizer

WEIGHTS = Path(__file__).parent / "weights"
MANIFEST = WEIGHTS / "manifest.json"
WINDOW = 64


class Size(NamedTuple):
    """Width, depth and heads of a transformer."""

    width: int
    depth: int
    heads: int


CLIP_VISION = Size(192, 5, 3)
_VFM: dict[str, Any] = {"img_size": WINDOW, "embed_dim": 128, "depth": 4, "num_heads": 2, "num_classes": 0}


def build_clip() -> open_clip.model.CLIP:
    """A CLIP of 64-px windows with 8 x 8 patches; plain GELU, word-level text tower."""
    width, depth, heads = CLIP_VISION
    vision = open_clip.model.CLIPVisionCfg(
        layers=depth, width=width, head_width=width // heads, patch_size=8, image_size=WINDOW
    )
    vocabulary = Tokenizer().vocab_size
    text = open_clip.model.CLIPTextCfg(
        context_length=CONTEXT_LENGTH, vocab_size=vocabulary, width=128, heads=2, layers=2
    )
    return open_clip.model.CLIP(128, vision, text, quick_gelu=False)


def build_vit(patch: int = 4, registers: int = 0) -> timm_vit.VisionTransformer:
    """A plain timm ViT with a class token, without a head."""
    return timm_vit.VisionTransformer(
        **_VFM, patch_size=patch, reg_tokens=registers, no_embed_class=registers > 0, global_pool="token"
    )


def build_sam() -> timm_sam.VisionTransformerSAM:
    """timm's SAM encoder: window attention with global attention in two blocks, relative positions, a neck."""
    return timm_sam.VisionTransformerSAM(
        **_VFM,
        patch_size=4,
        use_abs_pos=True,
        use_rel_pos=True,
        window_size=8,
        global_attn_indexes=(1, 3),
        neck_chans=64,
        global_pool="",
    )


def _build_sd() -> nn.Module:
    with explained():
        from proxyclip.tiny.latent_diffusion import build_sd  # diffusers is slow to import

    return build_sd()


#: How each of the tiny models is built.
MODELS: dict[str, Callable[[], nn.Module]] = {
    "tiny_clip": build_clip,
    "tiny_dino": build_vit,
    "tiny_dino8": lambda: build_vit(8),
    "tiny_dinov2": lambda: build_vit(registers=4),
    "tiny_mae": build_vit,
    "tiny_sam": build_sam,
    "tiny_sd": _build_sd,
    "tiny_supervised": lambda: SegmentationHead(CLIP_VISION.width),
}


def build(name: str) -> nn.Module:
    """Construct a tiny model with untrained weights; ``ValueError`` for an unknown name."""
    if name not in MODELS:
        raise ValueError(f'unknown tiny model "{name}"; the models are {", ".join(MODELS)}')
    return MODELS[name]()


def digests(folder: Path = WEIGHTS) -> dict[str, str]:
    """SHA-256 of every model's weights in a folder, by name."""
    return {path.stem: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))}


def load(name: str, weights: Path | None = None) -> nn.Module:
    """A tiny model with its shipped weights, in evaluation mode and float32.

    ``weights`` is another safetensors file; the SHA-256 of the shipped one is checked. Raises ``ValueError`` for an
    unknown name, a shipped file whose hash is not that of the manifest, or a file of another architecture, and
    ``FileNotFoundError`` when the file is missing.
    """
    model = build(name)
    path = weights or WEIGHTS / f"{name}.safetensors"
    if weights is None and not path.exists():
        raise FileNotFoundError(
            f'no weights of "{name}" at {path}; '
            f'train them with "python -m training.pretrain {name}" or reinstall'
        )
    if weights is None:
        expected, found = json.loads(MANIFEST.read_text())[name]["sha256"], sha256_of(path)
        if found != expected:
            raise ValueError(f"{path} is damaged: SHA-256 {found}, the manifest says {expected}; reinstall the package")
    raw, _ = read_state_dict(path)
    load_strictly(model, {k: v.float() if v.is_floating_point() else v for k, v in raw.items()}, path, name)
    return model.eval()


def fits(name: str, path: Path) -> bool:
    """Whether a file holds weights of a tiny model, by the names and shapes in it."""
    if not os.path.isfile(path):  # opening a pipe would wait for a writer
        return False
    try:
        with safe_open(path, "pt") as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
        expected = build(name).state_dict()
    except (OSError, SafetensorError, MissingPackageError):
        return False
    return found == {key: tuple(value.shape) for key, value in expected.items()}
