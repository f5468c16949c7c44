"""Export one image for the explorer: features, CLIP's values, words and ground truth, small enough for a page."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from proxyclip.attention import full_precision
from proxyclip.explorer.encoding import Packed, pack, significant
from proxyclip.explorer.sources import FeatureSource, MatrixSource, feature_source, matrix_sources
from proxyclip.inference.images import ImageLike, read_image
from proxyclip.inference.saving import data_uri
from proxyclip.inference.segmentation import class_colours
from proxyclip.inference.windows import PreparedImage
from proxyclip.models.clip import DenseCLIP
from proxyclip.models.vfm import VFM
from proxyclip.rules.block import BlockView, image_blocks, image_head
from proxyclip.text import Classes, TextEmbeddings

Scene = dict[str, object]
Source = FeatureSource | MatrixSource


class Model(Protocol):
    """The part of :class:`proxyclip.segment.ProxyCLIP` used here; that module imports this one."""

    clip: DenseCLIP
    vfm: VFM | None
    dtype: torch.dtype

    def encode_classes(self, classes: Classes) -> TextEmbeddings: ...

    def prepare_windows(self, image: ImageLike) -> PreparedImage: ...

    def windows(self, image: PreparedImage) -> Iterator[Any]: ...


#: Steps to which features are rounded, see :mod:`proxyclip.explorer.sources`; the finest that fits the budget is taken.
STEPS = tuple(float(f"{0.0005 * 1.02**power:.3g}") for power in range(220))
#: Step without a budget.
STEP = 0.0005
#: Rounding of the folded readout, relative to the typical length of the rounded values. Logits are then wrong by less
#: than a thousandth.
LOADS_STEP, WORDS_STEP, LENGTHS_STEP = 4e-3, 2e-4, 2e-4
#: Without a budget the steps of the readout and of CLIP's own cosines are multiplied with this.
FINER = 0.2
#: Share of the values' energy that may be dropped with the last principal axes.
DROPPED = 1e-6
#: Longest side of the image and of the labels in a page, pixels.
LONGEST = 640


@torch.inference_mode()
def export_scene(
    model: Model, image: ImageLike, classes: Classes | None = None, *, vfms: Sequence[VFM] | None = None,
    truth: np.ndarray | None = None, prob_threshold: float | None = None, objects: Sequence[str] = (),
    key: str = "image", title: str = "", note: str = "", budget: int | None = None,
) -> Scene:
    """Collect what the explorer shows of one image, as JSON values in the format of ``explorer.js``.

    Parameters
    ----------
    model : ProxyCLIP
        Its windows and resizing are those of the explorer.
    image : path, PIL image or (H, W, 3) uint8
    classes : class list, optional
        With None the page shows the attention only, without words, labels and CLIP's own similarities.
    vfms : sequence of VFM, optional
        The foundation models that the page offers; the model's own by default.
    truth : (H, W) integer, optional
        Class ids (or object ids, without classes) at the image's size; -1 is not counted.
    prob_threshold : float, optional
        As for :meth:`ProxyCLIP.segment`.
    objects : sequence of str
        Names of the objects of the ground truth, without classes.
    key, title, note : str
        Name of the scene in the page's address, on its button, and the caption about models and profile.
    budget : int, optional
        Most characters of the scene as JSON; decides how finely features are rounded. :data:`STEP` without it.
        ``ValueError`` if it is too small, the ground truth is of another size, or there is no foundation model.
    """
    vfms = list(vfms if vfms is not None else [model.vfm] if model.vfm is not None else [])
    if not vfms:
        raise ValueError("an explorer needs at least one vision foundation model; pass vfm=NAME")
    pixels = read_image(image)
    prepared = model.prepare_windows(pixels)
    size, boxes = prepared.size, prepared.boxes
    factor = min(1.0, LONGEST / max(size))
    shown = max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
    scene: Scene = {
        "key": key, "title": title, "note": note, "objects": list(objects),
        "size": list(shown), "image": _image_uri(pixels, shown),
        "windows": {
            "tops": sorted({box.top for box in boxes}), "lefts": sorted({box.left for box in boxes}),
            "height": boxes[0].bottom - boxes[0].top, "width": boxes[0].right - boxes[0].left,
            "padding": list(prepared.padding), "working": list(prepared.working_size),
        },
        "classes": [], "colours": [], "queries": [], "classOfQuery": [], "probThreshold": prob_threshold,
        "readout": None, "truth": None if truth is None else _truth(truth, size, shown),
    }
    sources: list[Source] = [
        feature_source(vfm, [vfm.features(batch.cut(batch.normalized(vfm))) for batch in model.windows(prepared)])
        for vfm in vfms
    ]
    if classes is not None:
        text = model.encode_classes(classes)
        last = image_blocks(model.clip.model)[-1]
        trunks = [batch.clip_trunk() for batch in model.windows(prepared)]
        blocks, grid = [BlockView(last, trunk.states[-1]) for trunk in trunks], trunks[0].grid
        finer = FINER if budget is None else 1.0
        sources += matrix_sources(blocks, grid, finer)
        values = torch.cat([full_precision(block.patch_values) for block in blocks])
        scene["readout"] = _readout(model, values, grid, text, finer)
        vocabulary = text.vocabulary
        scene |= {"classes": list(vocabulary.names), "queries": list(vocabulary.queries),
                  "colours": [f"#{bytes(row).hex()}" for row in class_colours(len(vocabulary))],
                  "classOfQuery": list(vocabulary.class_of_query)}
    return _within(scene, sources, budget)


def _within(scene: Scene, sources: Sequence[Source], budget: int | None) -> Scene:
    """Add the sources, rounded as finely as the budget allows."""
    @cache
    def packed(step: float) -> list[Packed]:
        return [source.packed(step) for source in sources]

    def fits(step: float) -> bool:
        size = len(json.dumps(scene | {"sources": packed(step)}, separators=(",", ":")))
        return budget is None or size + 25 * len(sources) <= budget  # room for the errors, which are added below

    step = STEP
    if budget is not None:
        finest = bisect_left(STEPS, True, key=fits)
        if finest == len(STEPS):
            raise ValueError(f"a scene of {scene['size']} pixels does not fit into {budget} characters")
        step = STEPS[finest]
    filled = packed(step)
    for one, source in zip(filled, sources, strict=True):
        one["error"] = float(f"{source.error(one):.2g}")
    return scene | {"sources": filled}


def _readout(model: Model, values: Tensor, grid: tuple[int, int], text: TextEmbeddings, finer: float) -> Packed:
    """CLIP's readout on the principal axes of each window's centred values.

    A weighted mean of the values is ``m`` on those axes; its variance is ``|m|^2 / width``. With the deviation ``d``
    that follows, the embedding before normalisation is ``m B + d o``, where ``B`` are the axes through ``ln_post`` and
    the projection and ``o`` is its bias through the projection. The page needs its products with the words and its
    length, so ``B T^T``, ``B B^T``, ``B o``, ``T o`` and ``|o|^2`` are all that is stored.
    """
    norm, projection = image_head(model.clip.model)
    weight, bias, projection = (part.double() for part in (norm.weight, norm.bias, projection))
    words = text.embeddings.double().to(projection.device)
    centred = values.double() - values.double().mean(dim=-1, keepdim=True)
    u, s, axes = torch.linalg.svd(centred, full_matrices=False)
    energy = s.square()
    dropped = energy.flip(-1).cumsum(-1).flip(-1) / energy.sum(-1, keepdim=True)
    rank = max(1, int((dropped > DROPPED).sum(-1).max()))
    windows, patches, width = values.shape
    loads = (u * s[:, None])[..., :rank]
    basis = axes[:, :rank] @ (weight[:, None] * projection)
    offset = bias @ projection
    spread = (s[:, :rank] / patches**0.5).cpu().numpy()
    scale = np.array(significant(spread)).reshape(spread.shape)
    gram = (basis @ basis.mT).cpu().numpy()
    lower = np.tril_indices(rank)
    typical = float(np.sqrt(np.mean(np.einsum("wr,wrr->w", scale**2, gram))))
    offset_length = float(offset.norm()) or 1.0

    def by_axis(array: Tensor | np.ndarray) -> np.ndarray:
        return np.asarray(array.cpu() if isinstance(array, Tensor) else array).transpose(1, 0, 2)

    return {
        "grid": list(grid), "rank": rank, "queries": len(words), "patches": patches, "windows": windows,
        "width": width, "epsilon": norm.eps, "scale": scale.ravel().tolist(),
        "loads": pack(by_axis(loads.mT), finer * LOADS_STEP * float(np.sqrt(np.square(spread).sum(-1).mean()))),
        "words": pack(by_axis((basis @ words.T).cpu().numpy() * scale[..., None]), finer * WORDS_STEP * typical),
        "shift": pack(((basis @ offset).cpu().numpy() * scale).T, finer * WORDS_STEP * typical * offset_length),
        "lengths": pack((gram * scale[:, :, None] * scale[:, None, :])[:, lower[0], lower[1]],
                        finer * LENGTHS_STEP * typical**2),
        "offsetWords": significant((words @ offset).cpu().numpy()), "offsetSquare": float(offset.square().sum()),
    }


def _truth(truth: np.ndarray, size: tuple[int, int], shown: tuple[int, int]) -> Packed:
    if truth.shape != size:
        raise ValueError(f"the ground truth has {truth.shape[1]} x {truth.shape[0]} pixels, its image {size[1]} x "
                         f"{size[0]}")
    labels = torch.tensor(np.asarray(truth, np.int32))[None, None].float()
    return pack(F.interpolate(labels, shown, mode="nearest-exact")[0, 0].numpy(), 1)


def _image_uri(pixels: np.ndarray, shown: tuple[int, int]) -> str:
    """The image as a data URI."""
    picture = Image.fromarray(pixels)
    if picture.size != shown[::-1]:
        picture = picture.resize(shown[::-1], Image.Resampling.LANCZOS)
    return data_uri(np.asarray(picture), quality=92 if max(shown) <= 256 else 80)
