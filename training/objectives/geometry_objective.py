"""The last stage of every family: the cosines of its features get a base and an individual part of its own.

The stages before teach which patches belong together, and end with nearly the same histogram of cosines for every
family. Real families differ. To first order a family's geometry has a base, which any two patches share, and an
individual part, which a patch shares with no other (:mod:`proxyclip.models.changed_geometry`). The student of this
stage learns both in its own last features: its cosines approach those of a frozen average of its own weights, changed
by these two numbers. Or they approach a histogram: its cosines keep the order of the teacher's, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from proxyclip.models.changed_geometry import changed_similarity
from training.cache import SceneCache, patch_labels
from training.objectives.pair_objective import (
    Read,
    balanced,
    composed,
    composed_likeness,
    diffused,
    pooled,
    random_shapes,
    recolour,
)

#: Cosine of the teacher that stands for two patches of different scenes: where the stages before push them to.
FOREIGN = -0.4
#: Cosine of the teacher from which a pair counts as alike in the weights of the loss.
ALIKE = 0.5


@dataclass(frozen=True, kw_only=True)
class GeometryTarget:
    """The geometry that a family is given."""

    source: str  #: Where the numbers come from, for the model's card.
    #: What any two patches have in common, and what a patch shares with no other one, as
    #: :func:`proxyclip.with_geometry` would change the teacher's features.
    base: float = 0.0
    individual: float = 0.0
    #: Instead of these two: shares of all pairs, from 0 to 1, and the cosine below which each lies. The order of the
    #: pairs is the teacher's.
    histogram: Sequence[Sequence[float]] = ()
    #: Whether the student reads windows composed of several scenes, whose pairs of patches count as unlike. The model
    #: then tells regions apart more sharply, and fewer pairs have a middling cosine.
    composed: bool = True
    #: Whether the teacher's features are averaged over their neighbours and diffused, as those of a
    #: :class:`training.objectives.pair_objective.PairTeacher`; then more pairs of a region are alike to it.
    smooth: bool = False

    def cosines(self, likeness: Tensor) -> Tensor:
        """What the teacher's cosines (B, N, N) become; a histogram is that of these windows together."""
        if not self.histogram:
            return changed_similarity(likeness, self.base, self.individual)
        shares, wanted = torch.tensor(self.histogram, device=likeness.device).mT.contiguous()
        different = ~torch.eye(likeness.shape[-1], dtype=torch.bool, device=likeness.device)
        limits = torch.quantile(likeness[:, different].float(), shares)
        above = torch.searchsorted(limits, likeness.contiguous()).clamp(1, len(limits) - 1)
        way = (likeness - limits[above - 1]) / (limits[above] - limits[above - 1]).clamp_min(1e-6)
        return torch.lerp(wanted[above - 1], wanted[above], way.clamp(0, 1))


def geometry_loss(cosines: Tensor, likeness: Tensor, target: GeometryTarget, known: Tensor) -> Tensor:
    """Squared distance of a student's cosines (B, N, N) from the target's, with the weights of ``pair_loss``.

    In the row of an anchor, pairs that the teacher's ``likeness`` (B, N, N) finds alike are averaged by themselves. The
    others are divided by the geometric mean of their number and of the number of alike ones, and rows count by the
    inverse square root of the latter, so that small regions count as much as large ones. Patches that are ``known`` (B,
    N) count, a patch with itself never.
    """
    different = ~torch.eye(cosines.shape[-1], dtype=torch.bool, device=cosines.device)
    pairs = known[:, :, None] & known[:, None, :] & different
    wrong = (cosines - target.cosines(likeness)) ** 2
    return balanced(wrong, wrong, pairs & (likeness >= ALIKE), pairs & (likeness < ALIKE), known)


def shaping_loss(
    teacher: Read, student: Read, target: GeometryTarget, cache: SceneCache, count: int, rng: Generator
) -> Tensor:
    """:func:`geometry_loss` of ``count`` random windows, which the student sees in other colours than the teacher.

    Both map pixels in 0..1 to patch features (B, N, C), the student with gradients.
    """
    images = cache.windows(count, rng, zoom=(0.6, 1.25)).images
    likeness = teacher_likeness(teacher, images, target.smooth)
    known = torch.ones(likeness.shape[:2], dtype=torch.bool, device=images.device)
    if target.composed:
        shapes = torch.from_numpy(random_shapes(len(images), images.shape[-1], rng)).to(images.device)
        source = patch_labels(shapes, images.shape[-1] // int(likeness.shape[1] ** 0.5))
        both, one_scene = composed_likeness(likeness, source)
        images, known, likeness = composed(images, shapes), source >= 0, torch.where(one_scene, both, FOREIGN)
    normal = F.normalize(student(recolour(images, rng)).float(), dim=-1)
    return geometry_loss(normal @ normal.mT, likeness, target, known)


@torch.no_grad()
def teacher_likeness(read: Read, images: Tensor, smooth: bool = False) -> Tensor:
    """A teacher's cosines, averaged over the windows and their mirror images: (B, 3, S, S) -> (B, N, N)."""
    found: list[Tensor] = []
    for view in (images, images.flip(-1)):
        features = read(view).float()
        if smooth:
            features = diffused(pooled(features))
        if found:
            side = int(features.shape[1] ** 0.5)
            features = features.unflatten(1, (side, side)).flip(2).flatten(1, 2)
        normal = F.normalize(features, dim=-1)
        found.append(normal @ normal.mT)
    return (found[0] + found[1]) / 2
