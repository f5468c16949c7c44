"""Which weights of a training are kept: those with the best geometry of patch similarities on validation windows.

The geometry is what matters to a masking rule: the mean similarity, the share of entries that it keeps, the rows in
which a patch keeps only itself, and the share of weight on the right region. Masks of validation scenes are used to
measure, never to train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from proxyclip.attention import full_precision, masked_softmax, unit
from proxyclip.rules.masking import Adaptive
from proxyclip.tiny.world.scenes import patch_labels
from proxyclip.tiny.world.sets import SETS_AVERAGED, VAL_SEED, render


@cache
def validation_windows(scenes: int = 4, seed: int = VAL_SEED) -> tuple[Tensor, Tensor]:
    """One 64-px window from each of the first ``scenes`` scenes of every set that is averaged.

    Returns
    -------
    (W, 3, 64, 64) float32 in [0, 1] and (W, 64, 64) int64
        Pixels, and the instance that owns each of them.
    """
    pixels, owners = [], []
    for name in SETS_AVERAGED:
        for index in range(scenes):
            scene = render(name, seed, index)
            top, left = (index % 3) * 32, (index // 3 % 3) * 32
            pixels.append(scene.image[top : top + 64, left : left + 64])
            owners.append(scene.instances[top : top + 64, left : left + 64])
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return images, torch.from_numpy(np.stack(owners).astype(np.int64))


def geometry_of(features: Tensor, owner: Tensor, rule: Adaptive | None = None) -> dict[str, float]:
    """Similarities between the patches of each window, as a masking rule sees them.

    Parameters
    ----------
    features : (W, N, C) float
        Not normalised.
    owner : (W, N) int64
        The region of each patch; -1 where no region covers most of it. Such patches count in all values but ``auc``
        and ``right``.
    rule : Adaptive, optional
        The paper's by default.

    Returns
    -------
    dict
        ``mean``: mean cosine; ``low``, ``high``: 5 % and 95 % quantiles of the cosines; ``kept``: share of entries at
        or above the threshold; ``alone``: share of rows that keep nothing but themselves; ``auc``: probability that two
        patches of one region are more similar than two of different regions, averaged over the windows; ``right``:
        share of a row's weight on its own region.
    """
    f = unit(full_precision(features))
    similarity = f @ f.mT
    mean = similarity.mean(dim=(-2, -1), keepdim=True)
    scale, threshold = (rule or Adaptive()).scale_and_threshold(mean)
    kept = similarity >= threshold
    others = ~torch.eye(f.shape[1], dtype=torch.bool, device=f.device)
    rows, columns = (owner >= 0)[:, :, None], (owner >= 0)[:, None, :]
    known = rows & columns & others
    same = owner[:, :, None] == owner[:, None, :]
    weights = masked_softmax(similarity, scale, threshold)
    right = (weights * (same & columns)).sum(-1) / (weights * columns).sum(-1).clamp_min(1e-9)
    sample = similarity[:, ::7].flatten()[: 2**24]  # torch.quantile takes no more
    low, high = (float(torch.quantile(sample, q)) for q in (0.05, 0.95))
    return {
        "mean": float(mean.mean()),
        "low": low,
        "high": high,
        "kept": float(kept.float().mean()),
        "alone": float(((kept & others).sum(-1) == 0).float().mean()),
        "auc": float(np.nanmean([
            area_under_curve(s[k & o], s[k & ~o]) for s, k, o in zip(similarity, known, same, strict=True)
        ])),  # fmt: skip
        "right": float(right[owner >= 0].mean()),
    }


def area_under_curve(positive: Tensor, negative: Tensor) -> float:
    """Probability that a positive score exceeds a negative one, from histograms of [-1, 1] in steps of 1/2000."""
    up, down = (torch.histc(scores.double(), 4000, -1, 1) for scores in (positive, negative))
    below = down.cumsum(0) - down / 2
    pairs = up.sum() * down.sum()
    return float((up * below).sum() / pairs) if pairs else float("nan")


@torch.inference_mode()
def validation_geometry(read: Callable[[Tensor], Tensor], scenes: int = 4, seed: int = VAL_SEED) -> dict[str, float]:
    """:func:`geometry_of` a model's features on validation windows.

    Parameters
    ----------
    read : callable
        Pixels in 0..1 (W, 3, 64, 64) to features (W, C, rows, columns).
    scenes : int
        Of each set.
    seed : int
    """
    pixels, instances = validation_windows(scenes, seed)
    features = torch.cat([read(part).float() for part in pixels.split(32)])
    owner = patch_labels(instances, pixels.shape[-1] // features.shape[-1])
    return geometry_of(features.flatten(2).mT, owner.to(features.device))


def merit(found: Mapping[str, float]) -> tuple[bool, float]:
    """Key by which geometries are ranked: whether the paper's rule works with them, then ``auc`` to two digits.

    The rule works where at most 1 % of the rows keep only themselves and neither nearly everything nor nearly nothing
    is kept. Differences of ``auc`` below a hundredth depend on the choice of the windows.
    """
    usable = found["alone"] <= 0.01 and 0.08 <= found["kept"] <= 0.6 and 0.1 <= found["mean"] <= 0.75
    return usable, round(found["auc"], 2)


def best_of(rows: Sequence[Mapping[str, float]]) -> Mapping[str, float] | None:
    """The last of the best geometries, or None if there are none."""
    return max(reversed(rows), key=merit, default=None)
