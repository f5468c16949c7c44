"""How each tiny model is trained: its objective, the length of a full run and the learning rates."""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from training.objectives.geometry_objective import GeometryTarget
from training.objectives.objective import Objective


@dataclass(frozen=True)
class Recipe:
    """How one model is trained."""

    objective: Callable[[nn.Module], Objective]  #: Makes the objective from the model.
    steps: int  #: Steps of all stages but the one that gives the family its geometry.
    geometry: GeometryTarget | None = None  #: What that last stage aims at; there is none without it.
    shaping: int = 150  #: Steps of the last stage.
    shaping_peak: float = 0.5  #: Factor on the peak learning rates in the last stage, whose schedule is its own.
    #: Peak learning rates.
    muon_lr: float = 2e-3
    adam_lr: float = 1e-3
    average: float = 0.998  #: Momentum of the average of the weights, which is what ships.
    #: The family of models that it belongs to, and what it learns from, for its card.
    family: str = ""
    about: str = ""

    def made(self, model: nn.Module) -> Objective:
        """The objective of all stages, for this model."""
        objective = self.objective(model)
        objective.target, objective.begins = self.geometry, self.begins
        return objective

    @property
    def total(self) -> int:
        """Steps of a full run."""
        return self.steps + (self.shaping if self.geometry else 0)

    @property
    def begins(self) -> float:
        """Progress at which the last stage begins."""
        return self.steps / self.total


def _recipe(row: dict[str, Any]) -> Recipe:
    path, options, geometry = row.pop("objective"), row.pop("options", {}), row.pop("geometry", None)

    def objective(model: nn.Module) -> Any:
        module, _, name = path.partition(".")
        return getattr(import_module(f"training.objectives.{module}"), name)(model, **options)

    return Recipe(objective, geometry=geometry and GeometryTarget(**geometry), **row)


#: By the model's name; in ``recipes.toml`` the objective is named by its module and its class.
RECIPES = {name: _recipe(row) for name, row in
           tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()}
