"""An untrained ProxyCLIP, small enough to evaluate a set in a second."""

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from proxyclip.data.benchmark_files import BenchmarkDataset
from proxyclip.data.datasets import dataset
from proxyclip.models.clip import DenseCLIP
from proxyclip.models.registry import VFMSpec
from proxyclip.models.vfm import VFM
from proxyclip.rules import Rule
from proxyclip.segment import ProxyCLIP


def _words(sentences: list[str]) -> torch.Tensor:
    """A tokenizer of letters: the end token, 63, is the largest number, as CLIP's is."""
    rows = [[ord(letter) % 61 + 1 for letter in sentence][:14] + [63] for sentence in sentences]
    return torch.tensor([row + [0] * (16 - len(row)) for row in rows])


def small_model(seed: int = 0) -> ProxyCLIP:
    clip = open_clip.model.CLIP(
        32,
        dict(image_size=32, layers=2, width=32, head_width=16, patch_size=8),
        dict(context_length=16, vocab_size=64, width=32, heads=2, layers=1),
        quick_gelu=True,
    )
    backbone = VisionTransformer(img_size=32, patch_size=4, embed_dim=32, depth=1, num_heads=2, num_classes=0)
    for name, parameter in [*clip.named_parameters(), *backbone.named_parameters()]:
        # By name, since versions of open_clip draw their first weights in other orders; and larger than an untrained
        # network's, so that images and words give many different labels.
        draw = torch.Generator().manual_seed(zlib.crc32(name.encode()) + seed)
        scales = parameter.ndim == 1 and name.endswith("weight")  # of a normalisation
        parameter.data.normal_(float(scales), 0.25, generator=draw)
    dense = DenseCLIP(clip, _words, (0.5,) * 3, (0.25,) * 3, [lambda c: f"a {c}", lambda c: f"{c}s"], name="small")
    vfm = VFM(backbone, VFMSpec("DINO", "small", position="bicubic", source="tiny"), "small", crop=32)
    return ProxyCLIP(dense, vfm, window=32, stride=16, pad_multiple=8)


def opened(name: str, root: Path, **changes: object) -> BenchmarkDataset:
    """A benchmark with windows that suit the small model."""
    data = dataset(name, root)
    data.protocol = replace(data.protocol, **{"short_side": 32, "window": 32, "stride": 16, **changes})
    return data


def compute_once(patch: pytest.MonkeyPatch) -> None:
    """For work that is done again and again: keep every embedding, and let no file wait for the disk."""
    kept: dict[object, tuple[list, list[torch.Tensor]]] = {}
    embed = ProxyCLIP.embed

    def remembered(
        model: ProxyCLIP, image: np.ndarray, rules: Sequence[Rule], on_features: Callable | None = None
    ) -> list:
        key, seen = (id(model.clip), np.asarray(image).tobytes(), tuple(rule.name for rule in rules)), []
        if key not in kept:
            kept[key] = embed(model, image, rules, seen.append), seen
        for features in kept[key][1] if on_features is not None else ():
            on_features(features)
        return kept[key][0]

    patch.setattr(ProxyCLIP, "embed", remembered)
    patch.setattr(os, "fsync", lambda _: None)  # thousands of small files; none has to survive the machine
