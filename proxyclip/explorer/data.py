"""What a page needs of a model and an image: features, CLIP's values and words, ground truth, small enough to inline.

Only similarities inside a window matter, and those do not change when all features of a window are rotated. So each
window's features are turned onto their own principal axes: most of the axes then carry next to nothing, and rounding
all of them to multiples of one step leaves few bits.
"""

from __future__ import annotations

import base64
import io
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from proxyclip.attention import full_precision, mean_similarity, unit
from proxyclip.block import BlockView
from proxyclip.explorer.encoding import Packed, pack, significant, unpack
from proxyclip.images import ImageLike, read_image
from proxyclip.palette import class_colours
from proxyclip.segment import Classes, ProxyCLIP
from proxyclip.text import TextEmbeddings
from proxyclip.vfm import VFM
from proxyclip.windows import cut_windows

Scene = dict[str, object]

#: Steps to which features are rounded, in units of a cosine; the finest one that fits the budget is taken.
STEPS = tuple(0.0025 * 1.2**power for power in range(18))
#: Step without a budget.
STEP = 0.005
#: Features whose cosines vary this much within a window are rounded to the step itself, others in proportion to the
#: square root: where all cosines are alike, small differences decide.
TYPICAL_SPREAD = 0.25
#: Steps of CLIP's own cosines. Those of queries with keys lie close together and close to the threshold, and the labels
#: that follow are nearly ties: they ask for a finer one.
CLIP_STEPS = {"qk": 0.0007, "qq": 0.006, "kk": 0.006}
#: Rounding of the folded readout, in units of the typical length of what is rounded. Errors of the logits stay below a
#: thousandth, those of their order below a few ten-thousandths.
LOADS_STEP, WORDS_STEP, LENGTHS_STEP = 4e-3, 2e-4, 2e-4
#: Share of the values' energy that may be dropped with the last principal axes.
DROPPED = 1e-6
#: Longest side of the image and of the labels in a page, pixels.
LONGEST = 640


@dataclass(frozen=True)
class FeatureSource:
    """Similarities of a foundation model, kept as its features.

    Parameters
    ----------
    key, label : str
    grid : (rows, columns)
    means : list of float
        Mean similarity of each window.
    axes : (channels, windows, tokens) float64
        Unit features of each window on their principal axes.
    """

    key: str
    label: str
    grid: tuple[int, int]
    means: list[float]
    axes: np.ndarray

    @cached_property
    def fineness(self) -> float:
        """What the step is multiplied with: by how much the cosines vary, the mean over windows."""
        spreads = [(tokens.T @ tokens).std() for tokens in self.axes.transpose(1, 0, 2)]
        return float(np.sqrt(max(np.mean(spreads), 0.01) / TYPICAL_SPREAD))

    def packed(self, step: float) -> Packed:
        """The source rounded to multiples of a step; axes that become zero are left out."""
        step = float(f"{step * self.fineness:.3g}")
        used = np.flatnonzero(np.abs(self.axes).max(axis=(1, 2)) > step / 2)
        return {"key": self.key, "label": self.label, "grid": list(self.grid), "means": self.means,
                "features": pack(self.axes[: used.max(initial=0) + 1], step)}

    def error(self, packed: Packed) -> float:
        """Root mean square error that rounding leaves in the cosines."""
        rounded = unpack(packed["features"])
        squares = []
        for exact, stored in zip(self.axes.transpose(1, 2, 0), rounded.transpose(1, 2, 0), strict=True):
            unit_rows = stored / np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-12)
            squares.append(np.square(unit_rows @ unit_rows.T - exact @ exact.T).mean())
        return float(np.sqrt(np.mean(squares)))


@dataclass(frozen=True)
class MatrixSource:
    """Similarities of CLIP's queries and keys, kept as they are: the vectors are longer than the window has patches.

    Parameters
    ----------
    key, label, grid, means
        As for :class:`FeatureSource`.
    cosines : (windows, tokens, tokens) float64
    step : float
        To which they are rounded.
    """

    key: str
    label: str
    grid: tuple[int, int]
    means: list[float]
    cosines: np.ndarray
    step: float

    def packed(self, step: float) -> Packed:
        """The source, rounded to its own step; of a symmetric matrix the lower triangle."""
        symmetric = self.key != "qk"
        lower = np.tril_indices(self.cosines.shape[-1])
        kept = self.cosines[:, lower[0], lower[1]] if symmetric else self.cosines
        return {"key": self.key, "label": self.label, "grid": list(self.grid), "means": self.means,
                "symmetric": symmetric, "cosines": pack(kept, self.step)}

    def error(self, packed: Packed) -> float:
        """Root mean square error of rounding."""
        return self.step / 12**0.5


@torch.inference_mode()
def export_scene(
    model: ProxyCLIP,
    image: ImageLike,
    classes: Classes | None = None,
    *,
    vfms: Sequence[VFM] | None = None,
    truth: np.ndarray | None = None,
    prob_threshold: float | None = None,
    title: str = "",
    note: str = "",
    budget: int | None = None,
) -> Scene:
    """Collect what the explorer shows of one image.

    Parameters
    ----------
    model : ProxyCLIP
        Its windows and resizing are those of the explorer.
    image : path, PIL image or (H, W, 3) uint8
    classes : class list, optional
        None leaves words, labels and CLIP's own similarities out: attention only.
    vfms : sequence of VFM, optional
        The foundation models to choose from; the model's own by default.
    truth : (H, W) integer, optional
        Class ids (or object ids, without classes) at the image's size; -1 is not counted.
    prob_threshold : float, optional
        As for :meth:`ProxyCLIP.segment`.
    title, note : str
        Name of the scene, and what its caption says about models and profile.
    budget : int, optional
        Most characters of the scene as JSON; decides how finely features are rounded. :data:`STEP` without it.

    Returns
    -------
    dict
        JSON values, the format of ``explorer.js``.

    Raises
    ------
    ValueError
        If there is no foundation model, the ground truth is of another size, or the budget is too small.
    """
    vfms = list(vfms if vfms is not None else [model.vfm] if model.vfm is not None else [])
    if not vfms:
        raise ValueError("an explorer needs at least one vision foundation model; pass vfm=NAME")
    pixels = read_image(image)
    size, working, boxes, padding = model.lay_windows(pixels)
    shown = _shown_size(*size)
    scene: Scene = {
        "title": title, "note": note, "size": list(shown), "image": _image_uri(pixels, shown),
        "windows": {
            "tops": sorted({box.top for box in boxes}), "lefts": sorted({box.left for box in boxes}),
            "height": boxes[0].bottom - boxes[0].top, "width": boxes[0].right - boxes[0].left,
            "padding": list(padding), "working": list(working.shape[-2:]),
        },
        "classes": [], "colours": [], "queries": [], "classOfQuery": [], "probThreshold": prob_threshold,
        "readout": None, "truth": None if truth is None else _truth(truth, size, shown),
    }
    sources: list[FeatureSource | MatrixSource] = []
    for vfm in vfms:
        normalised = vfm.normalize(working).to(model.dtype)
        sources.append(_vfm_source(vfm, [vfm.features(cut_windows(normalised, batch, padding))
                                         for batch in model.batches(boxes)]))
    if classes is not None:
        text = model.encode_classes(classes)
        blocks = []
        for batch in model.batches(boxes):
            trunk = model.clip.trunk(cut_windows(model.clip.normalize(working).to(model.dtype), batch, padding))
            blocks.append((BlockView(model.clip.model.visual.transformer.resblocks[-1], trunk.states[-1]), trunk.grid))
        grid = blocks[0][1]
        sources += _clip_sources([block for block, _ in blocks], grid)
        values = torch.cat([full_precision(block.patch_values()) for block, _ in blocks])
        scene["readout"] = _readout(model, values, grid, text)
        scene |= _words(text)
    return _within(scene, sources, budget)


def _within(scene: Scene, sources: Sequence[FeatureSource | MatrixSource], budget: int | None) -> Scene:
    """Add the sources, rounded as finely as the budget allows."""
    def packed(step: float) -> list[Packed]:
        return [source.packed(step) for source in sources]

    def fits(step: float) -> bool:
        return len(json.dumps(scene | {"sources": packed(step)}, separators=(",", ":"))) + 25 * len(sources) <= budget

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


def _vfm_source(vfm: VFM, parts: Sequence[Tensor]) -> FeatureSource:
    features = torch.cat(list(parts))
    rows = unit(features.flatten(2).transpose(1, 2))
    return FeatureSource(vfm.name, vfm.spec.family, tuple(features.shape[-2:]), _means(rows, rows), _axes(rows))


def _clip_sources(blocks: Sequence[BlockView], grid: tuple[int, int]) -> list[MatrixSource]:
    """Cosines over the full width of the last block's queries and keys (section E)."""
    rows = {letter: torch.cat([unit(block.join_heads(block.patch_heads(letter))) for block in blocks])
            for letter in "qk"}
    sources = []
    for key, step in CLIP_STEPS.items():
        first, second = rows[key[0]], rows[key[1]]
        cosines = full_precision(first @ second.mT).double().cpu().numpy()
        sources.append(MatrixSource(key, f"CLIP {key[0]}-{key[1]}", grid, _means(first, second), cosines, step))
    return sources


def _means(rows: Tensor, columns: Tensor) -> list[float]:
    return significant(mean_similarity(rows, columns).flatten().cpu().numpy(), 8)


def _axes(rows: Tensor) -> np.ndarray:
    """Rows of each window (windows, tokens, channels) on their principal axes, as (channels, windows, tokens)."""
    u, s, _ = torch.linalg.svd(full_precision(rows).double(), full_matrices=False)
    return (u * s[:, None]).permute(2, 0, 1).cpu().numpy()


def _readout(model: ProxyCLIP, values: Tensor, grid: tuple[int, int], text: TextEmbeddings) -> Packed:
    """CLIP's readout on the principal axes of each window's centred values.

    A weighted mean of the values is ``m`` on those axes; its variance is ``|m|^2 / width``. With the deviation ``d``
    that follows, the embedding before normalisation is ``m B + d o``, where ``B`` are the axes through ``ln_post`` and
    the projection and ``o`` is its bias through the projection. The page needs its products with the words and its
    length, so ``B T^T``, ``B B^T``, ``B o``, ``T o`` and ``|o|^2`` are all that is stored.
    """
    visual = model.clip.model.visual
    weight, bias, projection = (part.double() for part in (visual.ln_post.weight, visual.ln_post.bias, visual.proj))
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
        "width": width, "epsilon": visual.ln_post.eps, "scale": scale.ravel().tolist(),
        "loads": pack(by_axis(loads.mT), LOADS_STEP * float(np.sqrt(np.square(spread).sum(-1).mean()))),
        "words": pack(by_axis((basis @ words.T).cpu().numpy() * scale[..., None]), WORDS_STEP * typical),
        "shift": pack(((basis @ offset).cpu().numpy() * scale).T, WORDS_STEP * typical * offset_length),
        "lengths": pack((gram * scale[:, :, None] * scale[:, None, :])[:, lower[0], lower[1]],
                        LENGTHS_STEP * typical**2),
        "offsetWords": significant((words @ offset).cpu().numpy()), "offsetSquare": float(offset.square().sum()),
    }


def _words(text: TextEmbeddings) -> Scene:
    vocabulary = text.vocabulary
    colours = ["#%02x%02x%02x" % tuple(int(level) for level in row) for row in class_colours(len(vocabulary))]
    return {"classes": list(vocabulary.names), "queries": list(vocabulary.queries), "colours": colours,
            "classOfQuery": list(vocabulary.class_of_query)}


def _shown_size(height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, LONGEST / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


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
    stream = io.BytesIO()
    picture.save(stream, "webp", quality=92 if max(shown) <= 256 else 80, method=6)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
