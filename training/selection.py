"""The geometry of patch similarities on validation windows, measured while a foundation model trains.

The geometry is what matters to a masking rule: how the cosines are distributed, within regions and between them, the
share of entries that the rule keeps, the rows in which a patch keeps only itself, and the share of weight on the right
region. Targets were chosen by it. Masks of validation scenes are used to measure, never to train.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxyclip.attention import full_precision, masked_softmax, unit
from proxyclip.rules.masking import Adaptive
from proxyclip.tiny.world.sets import SETS, VAL_SEED, render
from training.cache import patch_labels

#: The sets over which scores of the tiny models are averaged, and by which weights are chosen: all but ``tiny/medley``,
#: the second large vocabulary.
SETS_AVERAGED = tuple(name for name in SETS if name != "tiny/medley")


@cache
def validation_windows(scenes: int = 4, seed: int = VAL_SEED) -> tuple[Tensor, Tensor]:
    """One 64-px window from each of the first ``scenes`` scenes of every set that is averaged.

    Pixels are (W, 3, 64, 64) float32 in [0, 1]; the instance that owns each of them is (W, 64, 64) int64.
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


#: Of the quantiles, the shares and the quartiles of a fingerprint.
QUANTILES, LEVELS, QUARTILES = (0.05, 0.25, 0.5, 0.75, 0.95), (0.0, 0.2, 0.4, 0.6, 0.8), (0.25, 0.5, 0.75)


def fingerprint(cosines: Tensor, alike: Tensor, unlike: Tensor) -> dict[str, list[float]]:
    """How the cosines between different patches are distributed.

    Given all (K,), those within a region, and those between two regions. ``quantiles`` at 5, 25, 50, 75 and 95 %;
    ``below``: shares below 0, 0.2, 0.4, 0.6 and 0.8; ``same`` and ``other``: quartiles within a region and between two.
    """
    parts = ((cosines, QUANTILES), (alike, QUARTILES), (unlike, QUARTILES))
    spread, same, other = (np.quantile(part.cpu().numpy(), at).round(4).tolist() for part, at in parts)
    below = [round(float((cosines < level).double().mean()), 4) for level in LEVELS]
    return {"quantiles": spread, "below": below, "same": same, "other": other}


def geometry_of(features: Tensor, owner: Tensor) -> dict[str, Any]:
    """Similarities between the patches of each window, as the paper's masking rule sees them.

    Features (W, N, C) are not normalised. ``owner`` (W, N) is the region of each patch, -1 where no region covers most
    of it; such patches count in all values but ``auc`` and ``right``.

    ``mean``: mean cosine; ``kept``: share of entries at or above the threshold; ``alone``: share of rows that keep
    nothing but themselves; ``auc``: probability that two patches of one region are more similar than two of different
    regions, averaged over the windows; ``right``: share of a row's weight on its own region; and what
    :func:`fingerprint` gives.
    """
    f = unit(full_precision(features))
    similarity = f @ f.mT
    mean = similarity.mean(dim=(-2, -1), keepdim=True)
    scale, threshold = Adaptive().scale_and_threshold(mean)
    kept = similarity >= threshold
    others = ~torch.eye(f.shape[1], dtype=torch.bool, device=f.device)
    rows, columns = (owner >= 0)[:, :, None], (owner >= 0)[:, None, :]
    known = rows & columns & others
    same = owner[:, :, None] == owner[:, None, :]
    weights = masked_softmax(similarity, scale, threshold)
    right = (weights * (same & columns)).sum(-1) / (weights * columns).sum(-1).clamp_min(1e-9)
    measured = {
        "mean": float(mean.mean()),
        "kept": float(kept.float().mean()),
        "alone": float(((kept & others).sum(-1) == 0).float().mean()),
        "auc": float(
            np.nanmean([area_under_curve(s[k & o], s[k & ~o]) for s, k, o in zip(similarity, known, same, strict=True)])
        ),
        "right": float(right[owner >= 0].mean()),
    }
    drawn = fingerprint(similarity[others.expand_as(known)], similarity[known & same], similarity[known & ~same])
    return {name: round(value, 4) for name, value in measured.items()} | drawn


def area_under_curve(positive: Tensor, negative: Tensor) -> float:
    """Probability that a positive score exceeds a negative one, from histograms of [-1, 1] in steps of 1/2000."""
    up, down = (torch.histc(scores.double(), 4000, -1, 1) for scores in (positive, negative))
    below = down.cumsum(0) - down / 2
    pairs = up.sum() * down.sum()
    return float((up * below).sum() / pairs) if pairs else float("nan")


@torch.inference_mode()
def validation_geometry(read: Callable[[Tensor], Tensor], scenes: int = 4, seed: int = VAL_SEED) -> dict[str, Any]:
    """:func:`geometry_of` a model's features on validation windows, ``scenes`` of each set.

    ``read`` gives features (W, C, rows, columns) for pixels (W, 3, 64, 64) in 0..1.
    """
    pixels, instances = validation_windows(scenes, seed)
    features = torch.cat([read(part).float() for part in pixels.split(32)])
    owner = patch_labels(instances, pixels.shape[-1] // features.shape[-1])
    return geometry_of(features.flatten(2).mT, owner.to(features.device))
