"""The last stage of every family: the cosines of its features get a base and an individual part of its own.

The stages before teach which patches belong together, and end with nearly the same histogram of cosines for every
family. Real families differ. To first order a family's geometry has a base, which any two patches share, and an
individual part, which a patch shares with no other (:mod:`proxyclip.models.changed_geometry`). The student of this
stage learns both in its own last features: its cosines approach those of a frozen average of its own weights, changed
by these two numbers. Or they approach a histogram: its cosines keep the order of the teacher's, and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor, nn

from proxyclip.models.changed_geometry import changed_similarity
from training.cache import SceneCache, patch_labels
from training.objectives.pair_objective import (
    MOMENTUM,
    balanced,
    composed,
    composed_likeness,
    diffused,
    pooled,
    random_shapes,
    recolour,
)
from training.optim import frozen, weights_of

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


class ShapedObjective:
    """An objective, and after it, from the progress ``begins`` on, the stage that gives the family its geometry.

    The objective before has ``trained``, ``model``, ``loss``, ``samples`` and ``features``, the patch features (B, N,
    C) of a module from pixels (B, 3, S, S) in 0..1. A step of the last stage sees ``batch`` windows.
    """

    def __init__(self, before: Any, target: GeometryTarget, begins: float, batch: int = 16) -> None:
        self.before, self.target, self.begins, self.batch = before, target, begins, batch
        self.model, self.trained = before.model, before.trained
        self.slow = weights_of(self.trained)
        self.teacher: nn.Module | None = None

    @property
    def samples(self) -> int:
        """Windows seen so far, all stages together."""
        return self.before.samples

    @samples.setter
    def samples(self, count: int) -> None:
        self.before.samples = count

    @property
    def ready(self) -> bool:
        """Whether the geometry is being learned, so that the weights may be shipped."""
        return self.teacher is not None

    def go_on_from_shipped(self) -> None:
        """Train the last stage alone: shipped weights are what the stages before gave."""
        self.begins = 0.0

    def loss(self, module: nn.Module, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        if progress < self.begins:
            return self.before.loss(module, cache, progress / self.begins, rng)
        if self.teacher is None:
            for student in (module, self.trained):
                student.load_state_dict(self.slow)
            self.teach()
        images = cache.windows(self.batch, rng, zoom=(0.6, 1.25)).images
        self.samples += self.batch
        likeness = self.likeness(images)
        known = torch.ones(likeness.shape[:2], dtype=torch.bool, device=images.device)
        if self.target.composed:
            shapes = torch.from_numpy(random_shapes(len(images), images.shape[-1], rng)).to(images.device)
            source = patch_labels(shapes, images.shape[-1] // int(likeness.shape[1] ** 0.5))
            both, one_scene = composed_likeness(likeness, source)
            images, known, likeness = composed(images, shapes), source >= 0, torch.where(one_scene, both, FOREIGN)
        features = self.before.features(module, recolour(images, rng)).float()
        normal = F.normalize(features, dim=-1)
        return geometry_loss(normal @ normal.mT, likeness, self.target, known)

    @torch.no_grad()
    def likeness(self, images: Tensor) -> Tensor:
        """The teacher's cosines, averaged over the windows and their mirror images: (B, 3, S, S) -> (B, N, N)."""
        found: list[Tensor] = []
        for view in (images, images.flip(-1)):
            features = self.before.features(self.teacher, view).float()
            if self.target.smooth:
                features = diffused(pooled(features))
            if found:
                side = int(features.shape[1] ** 0.5)
                features = features.unflatten(1, (side, side)).flip(2).flatten(1, 2)
            normal = F.normalize(features, dim=-1)
            found.append(normal @ normal.mT)
        return (found[0] + found[1]) / 2

    def teach(self) -> None:
        """Make a frozen copy with the averaged weights the teacher."""
        self.teacher = frozen(self.trained, self.slow)

    @torch.no_grad()
    def after_step(self, module: nn.Module, progress: float) -> None:
        """Move the averaged weights towards the student's, until they teach."""
        if self.teacher is not None:
            return
        if hasattr(self.before, "after_step"):
            self.before.after_step(module, progress / self.begins)
        for k, v in self.trained.state_dict().items():
            self.slow[k].lerp_(v.float(), 1 - MOMENTUM)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights and the state of the stages before, for a checkpoint."""
        inner = self.before.state() if hasattr(self.before, "state") else {}
        found = {**{f"before.{k}": v for k, v in inner.items()}, **{f"slow.{k}": v for k, v in self.slow.items()}}
        return found | ({"teaches": torch.ones(())} if self.teacher is not None else {})

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue with the averaged weights of a checkpoint and its teacher."""
        if hasattr(self.before, "restore"):
            self.before.restore({k.removeprefix("before."): v for k, v in state.items() if k.startswith("before.")})
        self.slow = {k.removeprefix("slow."): v.clone() for k, v in state.items() if k.startswith("slow.")}
        if "teaches" in state:
            self.teach()
