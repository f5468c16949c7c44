"""Self-distillation of regions: what lies side by side belongs together.

Nothing here reads a mask or a name. Patches a few pixels apart are of one region far more often than two patches of a
window drawn at random. A model that sees only a small cell around a patch, and never where in the window the cell lies,
can tell near pairs from random ones only by how often two appearances occur side by side (after Isola et al. 2015,
"Learning visual groups from co-occurrences"). Such a model of cells then teaches itself to read whole windows, and the
model of whole windows teaches itself on windows composed of several scenes
(:mod:`training.objectives.pair_objective`).
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from training.cache import SceneCache
from training.objectives.cells import CELL, cell_features, consensus
from training.objectives.pair_objective import pair_loss
from training.objectives.vfm_objectives import (
    Backbone,
    DinoObjective,
    Wrapped,
    normalised,
    overlapping_crops,
    pixels,
    recolour,
    tokens_behind,
)

#: Weight of the hinge on the mean cosine of a window.
CROWD_WEIGHT = 10.0


def window_features(model: Backbone, images: Tensor) -> Tensor:
    """The patch features that are shipped, of whole windows: (B, 3, S, S) -> (B, N, D) float32, unit length."""
    return F.normalize(model.forward_features(images)[:, model.num_prefix_tokens :].float(), dim=-1)


def patch_centres(centre: np.ndarray, side: np.ndarray, grid: int, flip: np.ndarray) -> Tensor:
    """Where the patches of crops lie in their scenes, (B, grid * grid, 2) float32 in (x, y), in scene pixels.

    Centres (B, 2) and sides (B,) are in scene pixels; ``flip`` (B, 2) is -1 where the crop is mirrored in x or y, else
    1.
    """
    step = (np.arange(grid) + 0.5) / grid - 0.5
    along = centre[:, None, :] + side[:, None, None] * step[None, :, None] * flip[:, None, :]
    x = np.broadcast_to(along[:, None, :, 0], (len(side), grid, grid))
    y = np.broadcast_to(along[:, :, None, 1], (len(side), grid, grid))
    return torch.from_numpy(np.stack([x, y], axis=-1).reshape(len(side), -1, 2).astype(np.float32))


def neighbour_loss(
    cosines: Tensor, near: Tensor, foreign: Tensor, sharpness: float = 5.0, limit: float = 0.4, share: float = 0.4
) -> Tensor:
    """Logistic loss of telling pairs side by side from pairs drawn at random.

    Its optimum is a logit of ``log p(pair | near) / p(pair)``: how much more often two appearances occur side by side.
    Cosines (B, N, M) are between the patches of two crops of one scene, ``foreign`` (B, N, M) with patches of another
    scene; patches without any ``near`` (B, N, M) are left out. The logit is ``sharpness (cosine - limit)``, and
    ``share`` of the random pairs come from other scenes.
    """
    count = near.sum(-1)
    logits, others = sharpness * (cosines - limit), sharpness * (foreign - limit)
    attract = (F.softplus(-logits) * near).sum(-1) / count.clamp_min(1)
    repel = (1 - share) * F.softplus(logits).mean(-1) + share * F.softplus(others).mean(-1)
    return (attract + repel)[count > 0].mean()


class RegionObjective(DinoObjective):
    """DINO first, then neighbours seen through cells, then whole windows, then perhaps windows of several scenes.

    The third and the fourth stage begin with the average of the weights so far, which also becomes the frozen teacher.
    A step of the second stage sees ``region_batch`` scenes, one of the third and the fourth twice as many windows.

    ``stages`` is the progress at which the second, the third and, where there is one, the fourth begin. Two patches lie
    side by side up to ``near`` scene pixels. Of the model of cells' pairs the share ``same`` with the highest cosines
    counts as one region, the share ``other`` with the lowest as different ones; those in between teach nothing. Above a
    mean cosine of ``crowd`` a window of the third stage is charged: where it shows a single region, all its cosines
    would rise above 0.83 otherwise; 1.2 times their mean is then above every cosine, and the default rule would keep
    nothing. ``limits`` and ``depth`` are of the fourth stage's teacher: pairs of one scene with a cosine above the
    first belong together, those below the second do not, as seen behind that block.
    """

    region_batch = 12
    stages: Sequence[float] = (0.35, 0.55)
    near = 8.0
    same, other = 0.28, 0.38
    crowd = 0.6
    limits, depth = (0.85, 0.0), 3

    def family_loss(self, module: Wrapped, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        neighbours, windows, *scenes = self.stages
        if progress < neighbours:
            return super().family_loss(module, cache, progress / neighbours, rng)
        if progress < windows:
            return self.neighbours(module, cache, rng)
        if not scenes or progress < scenes[0]:
            if "windows" not in self.teachers:
                self.promote("windows", "dino", module)
            return self.windows(module, cache, rng)
        if "pairs" not in self.teachers:
            self.promote("pairs", "dino", module)
        return self.distillation_loss(module, cache, 2 * self.region_batch, rng, *self.limits)

    def neighbours(self, module: Wrapped, cache: SceneCache, rng: Generator) -> Tensor:
        """Second stage: patches side by side in two crops of a scene, of other colours, scales and mirrorings."""
        b, model = self.region_batch, module.model
        scene, two_crops = overlapping_crops(len(cache), b, 64, rng)
        grid, cell = model.patch_embed.grid_size[0], CELL // model.patch_embed.patch_size[0]
        views, places = [], []
        for centre, width in two_crops:
            crops = cache.crops(scene, centre, width, 64, rng, flips=False)
            flip = np.where(rng.random((b, 2)) < (0.5, 0.3), -1.0, 1.0)
            for k, axis in ((0, -1), (1, -2)):
                turned = torch.from_numpy(flip[:, k] < 0).to(crops.images.device)[:, None, None, None]
                crops.images = torch.where(turned, crops.images.flip(axis), crops.images)
            crops.images = recolour(crops.images, rng)
            views.append(pixels(crops, module))
            places.append(patch_centres(centre, width, grid, flip).to(crops.images.device))
        self.samples += b
        corner = tuple(rng.integers(0, grid - cell + 1, 2).tolist())
        one, two = cell_features(model, torch.cat(views), corner).chunk(2)
        near = torch.cdist(places[0], places[1]) < self.near
        cosines, foreign = one @ two.mT, one @ two.roll(1, 0).mT
        there = neighbour_loss(cosines, near, foreign)
        return 0.5 * (there + neighbour_loss(cosines.mT, near.mT, foreign.mT))

    def windows(self, module: Wrapped, cache: SceneCache, rng: Generator) -> Tensor:
        """Third stage: the student reads a whole window in other colours and agrees with the cells on its pairs."""
        crops = cache.windows(2 * self.region_batch, rng, zoom=(0.6, 1.25))
        self.samples += 2 * self.region_batch
        teacher = self.teachers["windows"].model
        target = consensus(teacher, pixels(crops, teacher))
        target = target @ target.mT
        some = target.flatten()[:: max(1, target.numel() // 50_000)]
        low, high = torch.quantile(some, torch.tensor([self.other, 1 - self.same], device=some.device))
        crops.images = recolour(crops.images, rng)
        features = window_features(module.model, pixels(crops, module))
        cosines = features @ features.mT
        crowded = F.relu(cosines.mean((1, 2)) - self.crowd).mean()
        pairs = pair_loss(cosines, target >= high, target <= low, within=(10.0, 0.8), across=(8.0, -0.1))
        return pairs + CROWD_WEIGHT * crowded

    def read(self, images: Tensor) -> Tensor:
        return tokens_behind(self.teachers["pairs"].model, self.depth, images)

    def features(self, module: Wrapped, images: Tensor) -> Tensor:
        return window_features(module.model, normalised(images, module))
