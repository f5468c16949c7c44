"""How each tiny model is trained: its objective, the length of a full run and the learning rates."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from training.objectives.clip_objective import ClipObjective
from training.objectives.geometry_objective import GeometryTarget, ShapedObjective
from training.objectives.mae_objective import MaeObjective
from training.objectives.region_objective import RegionObjective
from training.objectives.vfm_objectives import SamObjective


@dataclass(frozen=True)
class Recipe:
    """How one model is trained."""

    #: Makes the objective from the model; it has ``trained`` (all that learns), ``loss`` and ``samples``.
    objective: Callable[[nn.Module], Any]
    steps: int  #: Steps of all stages but the one that gives the family its geometry.
    geometry: GeometryTarget | None = None  #: What that last stage aims at; there is none without it.
    shaping: int = 150  #: Steps of the last stage.
    shaping_peak: float = 0.5  #: Factor on the peak learning rates in the last stage, whose schedule is its own.
    #: Peak learning rates.
    muon_lr: float = 2e-3
    adam_lr: float = 1e-3
    average: float = 0.998  #: Momentum of the average of the weights, which is what ships.
    #: Family of models that it belongs to, and what it learns from, for its card.
    family: str = ""
    about: str = ""

    def made(self, model: nn.Module) -> Any:
        """The objective of all stages, for this model."""
        objective = self.objective(model)
        return objective if self.geometry is None else ShapedObjective(objective, self.geometry, self.begins)

    @property
    def total(self) -> int:
        """Steps of a full run."""
        return self.steps + (self.shaping if self.geometry else 0)

    @property
    def begins(self) -> float:
        """Progress at which the last stage begins."""
        return self.steps / self.total


def _sd_objective(model: Any) -> object:
    from training.objectives.diffusion_objective import SdObjective  # diffusers is slow to import

    return SdObjective(model)


def _segmentation_objective(model: nn.Module) -> object:
    # It loads the shipped CLIP, whose features it reads.
    from training.objectives.segmentation_objective import SegmentationObjective

    return SegmentationObjective(model)


_STAGES = (
    "self-distillation (class token across windows, masked patches); patches that lie side by side distinguished from "
    "patches drawn at random, seen through cells of 16 pixels; whole windows taught by the averaged model of cells"
)
_DINO = f"three stages: {_STAGES}"
_DINO_COMPOSED = (
    f"four stages: {_STAGES}; windows composed of several scenes taught by the third block of the averaged model of "
    "whole windows"
)
_SHAPED = "last a base and an individual part for all cosines, taught by an average of the model's own weights"
_ORDERED = "last another histogram for all cosines, in the order of an average of the model's own weights"
_TABLE_2 = "the shape of the printed row of Table 2 for"
_DINO_SHAPE = f"{_TABLE_2} DINO: it gains from alpha 0.2 on and loses from 0.6 on"
_REAL_DINOV2 = "the histogram of the published DINOv2 ViT-S/14 on photographs"
RECIPES: dict[str, Recipe] = {
    "tiny_clip": Recipe(
        ClipObjective,
        7000,
        family="CLIP",
        about="contrastive image-text: captions and noun phrases, true pairs are no negatives, crop curriculum",
    ),
    "tiny_sam": Recipe(
        SamObjective,
        1000,
        family="SAM",
        geometry=GeometryTarget(
            base=0.63, individual=0.05,
            source=f"{_TABLE_2} SAM: nothing moves up to alpha 0.2, and little up to 0.4",
        ),
        shaping=120,
        about=f"contrast of patches within and between regions, from masks; {_SHAPED}",
    ),
    "tiny_mae": Recipe(
        MaeObjective,
        4500,
        family="MAE",
        geometry=GeometryTarget(base=0.48, source=f"{_TABLE_2} MAE: it moves from alpha 0.2 on"),
        shaping=120,
        about="masked autoencoding, 75 % hidden (normalised pixels; colours around them), then self-distillation of "
        f"pairs of patches on composed windows, taught by the autoencoder's second block; {_SHAPED}",
    ),
    "tiny_dino": Recipe(
        partial(RegionObjective, stages=(0.26, 0.4, 0.7)),
        3000,
        family="DINO B/8",
        muon_lr=3e-3,
        average=0.99,
        geometry=GeometryTarget(base=0.2, individual=0.3, source=_DINO_SHAPE),
        shaping=180,
        shaping_peak=0.4,
        about=f"{_DINO_COMPOSED}; {_SHAPED}",
    ),
    "tiny_dino8": Recipe(
        partial(RegionObjective, stages=(0.2, 0.5), near=10.0, dino={"batch": 32, "small": 0.0, "uniformity": 0.05}),
        1200,
        family="DINO B/16",
        muon_lr=3e-3,
        average=0.99,
        geometry=GeometryTarget(
            histogram=((0, -0.3), (0.25, 0), (0.5, 0.1), (0.75, 0.3), (0.85, 0.6), (0.95, 0.8), (1, 0.9)),
            source=f"{_DINO_SHAPE}; and validation scenes, by the points ahead of identity", composed=False,
        ),
        shaping=400,
        shaping_peak=0.6,
        about=f"{_DINO}; uniformity in the first; {_ORDERED}",
    ),
    "tiny_dinov2": Recipe(
        partial(RegionObjective, stages=(0.2, 0.5), dino={"uniformity": 0.02}),
        1200,
        family="DINOv2 with registers",
        muon_lr=3e-3,
        average=0.99,
        geometry=GeometryTarget(
            histogram=((0, -0.25), (0.05, -0.04), (0.24, 0.19), (0.4, 0.31), (0.5, 0.35), (0.66, 0.37), (0.72, 0.72),
                       (0.85, 0.82), (0.93, 0.84), (1, 0.88)),
            source=f"{_REAL_DINOV2}; {_TABLE_2} DINOv2", composed=False, smooth=True,
        ),
        shaping=1200,
        shaping_peak=0.6,
        about=f"{_DINO}; uniformity in the first; four registers; {_ORDERED}",
    ),
    "tiny_sd": Recipe(
        _sd_objective,
        3600,
        family="Stable Diffusion",
        geometry=GeometryTarget(
            base=0.25, individual=0.1, source="a choice between DINO's and MAE's, since Table 2 has no such row",
        ),
        shaping=120,
        about="latent diffusion: autoencoder, then a text-conditioned denoiser, then self-distillation of pairs of "
        "patches on composed windows, taught by the denoiser's first and middle blocks at time step 50; " + _SHAPED,
    ),
    "tiny_supervised": Recipe(
        _segmentation_objective,
        800,
        family="supervised segmenter on CLIP",
        average=0.99,
        about="masks with the names of the world's classes, without colours and patterns, compared with CLIP's text "
        "embeddings; CLIP is frozen",
    ),
}
