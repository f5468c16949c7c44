"""Sources of an explorer's similarities: features of a foundation model, or CLIP's queries and keys.

Only similarities inside a window matter, and those do not change when all features of a window are rotated. So the
features of each window are rotated onto their principal axes, and most axes are then close to zero.

An error of ``d_k`` in a patch's component on axis k changes its cosine with another patch by ``d_k`` times the other's
component, on average ``d_k s_k``, where ``s_k`` is the root mean square of the components on that axis. For a given
number of bits the error of the cosines is smallest where each axis contributes the same, that is where the step of axis
k is inversely proportional to ``s_k``: long axes are rounded finely, short ones coarsely or not kept at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from proxyclip.attention import full_precision, mean_similarity, sides, unit
from proxyclip.explorer.encoding import Packed, pack, significant, unpack
from proxyclip.models.vfm import VFM
from proxyclip.rules.block import BlockView

#: Steps of CLIP's own cosines. Those of queries with keys need a finer one: they lie close together and close to the
#: threshold, and the resulting labels are nearly ties.
CLIP_STEPS = {"qk": 0.0009, "qq": 0.008, "kk": 0.008}


@dataclass(frozen=True)
class _Source:
    """What every source on the page has: a name, a grid and the mean similarity of each window."""

    key: str
    label: str
    grid: tuple[int, int]  #: (rows, columns)
    means: list[float]  #: Mean similarity of each window.

    def described(self) -> Packed:
        return {"key": self.key, "label": self.label, "grid": list(self.grid), "means": self.means}


@dataclass(frozen=True)
class FeatureSource(_Source):
    """Similarities of a foundation model, kept as its features."""

    axes: np.ndarray  #: (channels, windows, tokens) float64: unit features of each window on their principal axes.

    @cached_property
    def lengths(self) -> np.ndarray:
        """Root mean square of the components on each axis, over windows and tokens; rounded as the page stores it."""
        return np.array(significant(np.sqrt(np.square(self.axes).mean(axis=(1, 2))), 3))

    def packed(self, step: float) -> Packed:
        """The source, with axis k rounded to multiples of ``step / lengths[k]``; axes that become zero are left out.

        Each axis that is left adds the same to the squared error of the cosines. So that all sources of a page are
        rounded alike, the step is that of 64 axes and becomes finer where there are more.
        """
        scaled = self.axes * self.lengths[:, None, None]
        largest = np.abs(scaled).max(axis=(1, 2))
        step *= (64 / max(1, int(np.count_nonzero(largest > step / 2)))) ** 0.5
        used = np.flatnonzero(largest > step / 2).max(initial=0) + 1
        return self.described() | {"lengths": self.lengths[:used].tolist(), "features": pack(scaled[:used], step)}

    def error(self, packed: Packed) -> float:
        """Root mean square error that rounding leaves in the cosines."""
        rounded = unpack(packed["features"])
        rounded /= self.lengths[: len(rounded), None, None]
        squares = []
        for exact, stored in zip(self.axes.transpose(1, 2, 0), rounded.transpose(1, 2, 0), strict=True):
            unit_rows = stored / np.maximum(np.linalg.norm(stored, axis=1, keepdims=True), 1e-12)
            squares.append(np.square(unit_rows @ unit_rows.T - exact @ exact.T).mean())
        return float(np.sqrt(np.mean(squares)))


@dataclass(frozen=True)
class MatrixSource(_Source):
    """Similarities of CLIP's queries and keys, kept as they are: the vectors are longer than the window has patches."""

    cosines: np.ndarray  #: (windows, tokens, tokens) float64
    step: float  #: To which they are rounded.

    def packed(self, step: float) -> Packed:
        """The source, rounded to its own step; of a symmetric matrix the lower triangle."""
        symmetric = self.key != "qk"
        lower = np.tril_indices(self.cosines.shape[-1])
        kept = self.cosines[:, lower[0], lower[1]] if symmetric else self.cosines
        return self.described() | {"symmetric": symmetric, "cosines": pack(kept, self.step)}

    def error(self, packed: Packed) -> float:
        """Root mean square error of rounding."""
        return self.step / 12**0.5


def feature_source(vfm: VFM, parts: Sequence[Tensor]) -> FeatureSource:
    """Features of all windows, (B, C, h, w) a batch, rotated onto their principal axes."""
    features = torch.cat(list(parts))
    rows = unit(features.flatten(2).transpose(1, 2))
    u, s, _ = torch.linalg.svd(full_precision(rows).double(), full_matrices=False)
    axes = (u * s[:, None]).permute(2, 0, 1).cpu().numpy()
    return FeatureSource(vfm.name, vfm.spec.family, sides(features), _means(rows, rows), axes)


def matrix_sources(blocks: Sequence[BlockView], grid: tuple[int, int], finer: float = 1.0) -> list[MatrixSource]:
    """Cosines over the full width of the last block's queries and keys (section E)."""
    rows = {letter: torch.cat([unit(block.join_heads(block.patch_heads(letter))) for block in blocks])
            for letter in "qk"}
    sources = []
    for key, step in CLIP_STEPS.items():
        first, second = rows[key[0]], rows[key[1]]
        cosines = full_precision(first @ second.mT).double().cpu().numpy()
        label = f"CLIP {key[0]}-{key[1]}"
        sources.append(MatrixSource(key, label, grid, _means(first, second), cosines, step * finer))
    return sources


def _means(rows: Tensor, columns: Tensor) -> list[float]:
    return significant(mean_similarity(rows, columns).flatten().cpu().numpy(), 8)
