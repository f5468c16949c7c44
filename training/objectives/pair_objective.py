"""Self-distillation of pairs on composed windows: which patches belong together, learned without masks.

A frozen teacher, an average of the model's own weights, says which patches of a window look alike. Windows are then cut
into random shapes and composed from several scenes. Patches of different scenes never belong together; patches of one
scene do where the teacher finds them alike and do not where it finds them unlike, and pairs in between are left out.
The student sees other colours than the teacher, and learns this in its own last features.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from proxyclip.attention import unit
from training.cache import SceneCache, patch_labels

#: Reads patch features (B, N, C) of pixels in 0..1 (B, 3, S, S).
Read = Callable[[Tensor], Tensor]


def pooled(features: Tensor) -> Tensor:
    """Unit features averaged over 3 x 3 neighbours: (B, N, C) -> (B, N, C)."""
    side = int(features.shape[1] ** 0.5)
    grid = unit(features).mT.unflatten(-1, (side, side))
    return F.avg_pool2d(grid, 3, stride=1, padding=1, count_include_pad=False).flatten(2).mT


def diffused(features: Tensor, sharpness: float = 20.0) -> Tensor:
    """One step of diffusion along the features' own similarities, ``softmax(20 S) F``: (B, N, C) -> (B, N, C)."""
    f = unit(features)
    return torch.softmax(sharpness * f @ f.mT, dim=-1) @ f


class PairTeacher:
    """A frozen model that says which patches of a window look alike.

    The mean feature of each place, (N, C), is subtracted first, since it depends on the position and not on the
    content. Then features are averaged over their neighbours, so that the phase of a texture does not count, and
    diffused.
    """

    def __init__(self, read: Read, places: Tensor) -> None:
        self.read, self.places = read, places

    @classmethod
    def of(cls, read: Read, cache: SceneCache) -> PairTeacher:
        """The teacher of these features, its places measured on windows of the cache."""
        return cls(read, mean_by_place(read, cache))

    @torch.no_grad()
    def likeness(self, images: Tensor) -> Tensor:
        """Cosines in [-1, 1] between patches: (B, 3, S, S) -> (B, N, N)."""
        f = unit(diffused(pooled(self.read(images).float() - self.places)))
        return f @ f.mT


@torch.no_grad()
def mean_by_place(read: Read, cache: SceneCache, windows: int = 768, seed: int = 0) -> Tensor:
    """Mean feature of each place over random windows: (N, C) float32."""
    rng = np.random.Generator(np.random.PCG64([seed, windows]))
    parts = [read(cache.windows(32, rng, zoom=(0.6, 1.25)).images).float().mean(0) for _ in range(windows // 32)]
    return torch.stack(parts).mean(0)


def random_shapes(count: int, size: int, rng: Generator) -> np.ndarray:
    """Maps of which of three scenes each pixel is taken from: (count, size, size) int64.

    Half of them are cut along smooth random fields, half show one to four rotated ellipses and rectangles.
    """
    y, x = np.mgrid[:size, :size].astype(np.float32) + 0.5
    out = np.zeros((count, size, size), np.int64)
    for shape in out:
        if rng.random() < 0.5:
            coarse = torch.from_numpy(rng.standard_normal((1, 3, *rng.integers(2, 6, 2))).astype(np.float32))
            field = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[0]
            shape[:] = field[: rng.integers(2, 4)].argmax(0).numpy()
            continue
        for _ in range(rng.integers(1, 5)):
            angle, (cx, cy) = rng.uniform(0, np.pi), rng.uniform(0, size, 2)
            a, b = size * rng.uniform(0.07, 0.3, 2)
            u = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) / a
            v = ((y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)) / b
            inside = np.maximum(abs(u), abs(v)) < 1 if rng.random() < 0.5 else u**2 + v**2 < 1
            shape[inside] = rng.integers(1, 3)
    return out


def recolour(images: Tensor, rng: Generator) -> Tensor:
    """Change colours by mixing channels, gain and gamma; rarely to grey; (B, 3, H, W) in [0, 1]."""
    b = len(images)
    mix = np.eye(3)[None] + rng.normal(0, 0.08, (b, 3, 3))
    grey = rng.random(b) < 0.05
    mix[grey] = 1 / 3
    mixed = torch.einsum("bij,bjhw->bihw", torch.from_numpy(mix.astype(np.float32)).to(images), images)
    gain = torch.from_numpy(rng.uniform(0.7, 1.3, (b, 3, 1, 1)).astype(np.float32)).to(images)
    gamma = torch.from_numpy(rng.uniform(0.7, 1.4, (b, 1, 1, 1)).astype(np.float32)).to(images)
    return (mixed * gain).clamp(1e-3, 1) ** gamma


def composed(images: Tensor, source: Tensor) -> Tensor:
    """Images whose window ``b`` shows window ``b + k`` of the batch where ``source``, (B, S, S), is ``k``."""
    out = images.clone()
    for k in (1, 2):
        out = torch.where((source == k)[:, None], images.roll(-k, dims=0), out)
    return out


def composed_likeness(likeness: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """The teacher's cosines between the patches of composed windows, (B, N, N), and which pairs are of one scene.

    ``likeness`` (B, N, N) is of the windows before they were composed, ``source`` (B, N) the scene of each patch, 0 to
    2, or -1 where none covers most of it.
    """
    both = likeness.clone()
    for k in (1, 2):
        ours = (source == k)[:, :, None] & (source == k)[:, None, :]
        both = torch.where(ours, likeness.roll(-k, dims=0), both)
    return both, source[:, :, None] == source[:, None, :]


def pair_loss(
    cosines: Tensor,
    same: Tensor,
    other: Tensor,
    within: tuple[float, float] = (12.0, 0.75),
    across: tuple[float, float] = (10.0, -0.25),
    anchors: Tensor | None = None,
) -> Tensor:
    """Pull the cosines of pairs that belong together above one limit, and push those of others below a lower one.

    Each row of the cosines (B, N, N) is that of an anchor. An attention that keeps every cosine above a threshold also
    averages the wrong patches above it, however small the region of the anchor is, and one wrong patch harms an object
    of four patches more than a meadow of a hundred. So the repulsion is divided by the geometric mean of the number of
    other patches and of the anchor's region. Small regions count as much as large ones.

    ``same`` and ``other`` (B, N, N) are the pairs that attract and that repel; a pair may be neither. ``within`` and
    ``across`` are the sharpness and the limit of the sigmoid for them. Only ``anchors`` (B, N) count, all by default.
    """
    (pull, least), (push, most) = within, across
    attract, repel = F.softplus(pull * (least - cosines)), F.softplus(push * (cosines - most))
    return balanced(attract, repel, same, other, anchors)


def balanced(attract: Tensor, repel: Tensor, same: Tensor, other: Tensor, anchors: Tensor | None) -> Tensor:
    """Mean over the rows of what each pair costs, (B, N, N), with the weights of :func:`pair_loss`."""
    own, others = same.sum(-1).clamp_min(1).float(), other.sum(-1).clamp_min(1).float()
    rows = (attract * same).sum(-1) / own + (repel * other).sum(-1) / (own * others).sqrt()
    # Two formulas for one weight: they differ in the last bit, and each was used to train weights that are shipped.
    weight = own.rsqrt() if anchors is None else anchors.float() / own.sqrt()
    return (rows * weight).sum() / weight.sum()


def composed_loss(
    features: Tensor, likeness: Tensor, source: Tensor, alike: float = 0.9, unlike: float = 0.3
) -> Tensor:
    """:func:`pair_loss` of a student's features (B, N, C) on composed windows.

    The teacher's likeness and the source are as for :func:`composed_likeness`. Pairs of one scene belong together where
    the teacher's cosine is above ``alike``, and do not below ``unlike``.
    """
    normal = F.normalize(features.float(), dim=-1)
    both, one_scene = composed_likeness(likeness, source)
    known = source >= 0
    valid = known[:, :, None] & known[:, None, :]
    same, other = one_scene & valid & (both > alike), valid & (~one_scene | (both < unlike))
    return pair_loss(normal @ normal.mT, same, other, anchors=known)


def distillation_loss(
    teacher: PairTeacher, student: Read, cache: SceneCache, count: int, rng: Generator, *limits: float
) -> Tensor:
    """:func:`composed_loss` of ``count`` random windows, which the student sees in other colours than the teacher.

    The student maps pixels in 0..1 to patch features (B, N, C) with gradients; limits are ``alike`` and ``unlike``.
    """
    images = cache.windows(count, rng, zoom=(0.6, 1.25)).images
    shapes = torch.from_numpy(random_shapes(count, images.shape[-1], rng)).to(images.device)
    likeness = teacher.likeness(images)
    features = student(recolour(composed(images, shapes), rng))
    source = patch_labels(shapes, images.shape[-1] // int(features.shape[1] ** 0.5))
    return composed_loss(features, likeness, source, *limits)
