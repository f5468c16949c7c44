"""How the similarities of a vision foundation model are spread inside a window, measured while it is trained."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.masking import Adaptive
from proxyclip.tiny.sets import SETS, VAL_SEED, render
from proxyclip.tiny.vfm_objectives import patch_labels

#: Validation windows of each set.
WINDOWS_PER_SET = 8


@cache
def validation_windows(per_set: int = WINDOWS_PER_SET, seed: int = VAL_SEED + 2) -> tuple[Tensor, Tensor]:
    """Windows of validation scenes, one a scene: pixels in 0..1 (W, 3, 64, 64) and instances (W, 64, 64) int64."""
    images, instances = [], []
    for name in SETS:
        for index in range(per_set):
            scene = render(name, seed, index)
            y, x = 32 * (index % 3), 32 * (index // 3 % 3)
            images.append(scene.image[y : y + 64, x : x + 64])
            instances.append(scene.instances[y : y + 64, x : x + 64])
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return pixels, torch.from_numpy(np.stack(instances)).long()


def ranking(inside: Tensor, across: Tensor) -> float:
    """AUC: the probability that a number of the first kind exceeds one of the second, ties counting half."""
    ordered = across.sort().values
    below = torch.searchsorted(ordered, inside.contiguous()).double()
    upto = torch.searchsorted(ordered, inside.contiguous(), right=True).double()
    return float((below + upto).mean() / (2 * len(ordered)))


def geometry(features: Tensor, instances: Tensor) -> dict[str, float]:
    """Spread of the cosines inside windows, and what the default rule makes of them.

    Parameters
    ----------
    features : (W, C, rows, columns) float
        Patch features, not normalised.
    instances : (W, S, S) int64
        Region of each pixel. It is compared with, never learned from.

    Returns
    -------
    dict
        ``mean`` cosine, ``kept`` share of entries above the threshold, ``alone``: share of rows that keep only
        themselves, ``auc`` of cosines of one region against those of different ones, ``right``: share of the weight
        that falls on the region of the patch that asks.
    """
    unit = F.normalize(features.float().flatten(2).mT, dim=-1)
    cosines = unit @ unit.mT
    count = cosines.shape[-1]
    rule = Adaptive()
    threshold = rule.beta * cosines.mean((1, 2), keepdim=True)
    kept = cosines >= threshold
    none, itself = ~kept.any(-1, keepdim=True), torch.eye(count, dtype=torch.bool)
    weights = (rule.gamma * cosines).masked_fill(~(kept | (none & itself)), -torch.inf).softmax(-1)
    patch = instances.shape[-1] // features.shape[-1]
    clear, owner = patch_labels(instances, patch), patch_labels(instances, patch, least=0.0)
    pair = (clear >= 0)[:, :, None] & (clear >= 0)[:, None, :]
    same = owner[:, :, None] == owner[:, None, :]
    some = slice(None, None, 7)
    return {
        "mean": round(float(cosines.mean()), 3),
        "kept": round(float(kept.float().mean()), 3),
        "alone": round(float(((weights > 0).sum(-1) <= 1).float().mean()), 4),
        "auc": round(ranking(cosines[pair & same & ~itself][some], cosines[pair & ~same][some]), 3),
        "right": round(float((weights * same).sum(-1)[clear >= 0].mean()), 4),
    }
