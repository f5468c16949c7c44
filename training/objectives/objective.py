"""What the objectives of all families share: stages, averages of the weights, and the teachers made from them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from numpy.random import Generator
from torch import Tensor, nn

from training.cache import SceneCache
from training.objectives.geometry_objective import GeometryTarget, shaping_loss
from training.objectives.pair_objective import PairTeacher, distillation_loss
from training.optim import frozen, weights_of


class Objective:
    """What one model learns from: ``model`` is what ships, ``trained`` all that learns.

    Options of a recipe replace attributes of the class.
    """

    #: Progress at which the last stage begins, and the geometry that it gives the family; most objectives have none.
    begins: float = 1.0
    target: GeometryTarget | None = None

    def __init__(self, model: nn.Module, trained: nn.Module | None = None, **options: Any) -> None:
        if unknown := [name for name in options if not hasattr(type(self), name)]:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(unknown)}")
        vars(self).update(options)
        self.model = model
        self.trained = model if trained is None else trained.to(next(model.parameters()).device)
        self.samples = 0  #: Windows and crops seen so far, all stages together.

    def loss(self, module: Any, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        """Draw a batch for ``module``, a copy of what is trained, and return its loss; ``progress`` is in [0, 1]."""
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        """Whether the weights are of the stage whose features are shipped."""
        return True

    def after_step(self, progress: float) -> None:
        """Follow the weights that a step has changed."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs besides the weights."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue with the state of a checkpoint."""


class SelfTaughtObjective(Objective, ABC):
    """An objective whose later stages are taught by averages of its own weights.

    The stages of the family come first (:meth:`family_loss`), and last, with a ``target``, the one that gives it its
    geometry (:mod:`training.objectives.geometry_objective`). The average "slow" follows all that learns; a family may
    keep further ones. A teacher is a frozen copy of what is trained, by the stage that it teaches.
    """

    shaping_batch = 16  #: Windows that a step of the last stage sees.

    def __init__(self, model: nn.Module, trained: nn.Module, **options: Any) -> None:
        super().__init__(model, trained, **options)
        self.averages = {"slow": weights_of(self.trained)}
        #: Momentum of each average, by the progress of the family's stages.
        self.momenta: dict[str, Callable[[float], float]] = {"slow": lambda progress: 0.99}
        self.teachers: dict[str, Any] = {}
        self.pairs: PairTeacher | None = None

    @abstractmethod
    def family_loss(self, module: Any, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        """:meth:`loss` of the stages of the family, of which ``progress`` counts."""

    @abstractmethod
    def features(self, module: Any, images: Tensor) -> Tensor:
        """Patch features (B, N, C) of ``module``, from pixels (B, 3, S, S) in 0..1."""

    def read(self, images: Tensor) -> Tensor:
        """Patch features (B, N, C) by which the teacher of pairs judges, from pixels (B, 3, S, S) in 0..1."""
        raise NotImplementedError(f"{type(self).__name__} has no teacher of pairs")

    @property
    def ready(self) -> bool:
        return self.target is None or "geometry" in self.teachers

    def loss(self, module: Any, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        if self.target is None or progress < self.begins:
            return self.family_loss(module, cache, progress / self.begins, rng)
        if "geometry" not in self.teachers:
            self.promote("geometry", "slow", module)
        self.samples += self.shaping_batch
        student, teacher = (partial(self.features, one) for one in (module, self.teachers["geometry"]))
        return shaping_loss(teacher, student, self.target, cache, self.shaping_batch, rng)

    def distillation_loss(self, module: Any, cache: SceneCache, count: int, rng: Generator, *limits: float) -> Tensor:
        """:func:`training.objectives.pair_objective.distillation_loss`; the first call makes the teacher."""
        if "pairs" not in self.teachers:
            self.teachers["pairs"] = frozen(self.trained, self.averages["slow"])
        if self.pairs is None:
            self.pairs = PairTeacher.of(self.read, cache)
        self.samples += count
        return distillation_loss(self.pairs, partial(self.features, module), cache, count, rng, *limits)

    def promote(self, stage: str, average: str, module: nn.Module) -> None:
        """Begin a stage: the student takes an average of the weights, and a frozen copy of it becomes the teacher."""
        for student in (module, self.trained):
            student.load_state_dict(self.averages[average])
        self.teachers[stage] = frozen(self.trained, self.averages[average])

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the averages towards the weights, until the last stage begins."""
        if "geometry" in self.teachers:
            return
        weights = self.trained.state_dict()
        for average, momentum in self.momenta.items():
            for name, value in self.averages[average].items():
                value.lerp_(weights[name].float(), 1 - momentum(progress / self.begins))

    def state(self) -> dict[str, Tensor]:
        """The averages, the teachers, and what the teacher of pairs subtracts, by ``part.name``."""
        teachers = {stage: teacher.state_dict() for stage, teacher in self.teachers.items()}
        places = {} if self.pairs is None else {"places": {"": self.pairs.places}}
        return {f"{part}.{name}": value.float() for part, values in (self.averages | teachers | places).items()
                for name, value in values.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = value.clone()
        self.averages = {average: parts.pop(average) for average in self.averages}
        places = parts.pop("places", None)
        self.pairs = PairTeacher(self.read, places[""]) if places else None
        self.teachers = {stage: frozen(self.trained, weights) for stage, weights in parts.items()}
