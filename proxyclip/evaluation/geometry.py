"""Effect of a masking rule on the similarities: threshold, share kept, and rows in which only the patch itself is kept.

When ``beta mean(S)`` exceeds all other cosines of a row, only its maximum is kept, which is the patch itself. Where
this happens in every row, the proxy attention is the identity, and a score says nothing about the foundation model. So
every evaluation counts such rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from proxyclip.attention import BLOCK_ENTRIES, full_precision, mean_similarity, unit
from proxyclip.rules import Identity, MaskingRule, Rule

#: Means and thresholds are added up as integers in this unit, so that the order of merging cannot change a digit.
UNIT = 2.0**-40

#: The counts of each rule, in this order.
COUNTS = ("windows", "mean", "threshold", "rows", "entries", "kept", "alone")


@dataclass
class Geometry:
    """Counts over the windows of a set, for each masking rule; the counts of two parts of a set can be merged."""

    #: (7,) int64 by rule name, in the order of :data:`COUNTS`.
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    def update(self, features: Tensor, rules: Sequence[Rule]) -> None:
        """Count a batch of windows from the foundation model's features, (B, C, h, w) float.

        Only masking rules are counted, except for the identity, which keeps only the patch itself by definition.
        """
        counted = [rule for rule in rules if isinstance(rule, MaskingRule) and not isinstance(rule, Identity)]
        if not counted:
            return
        vectors = unit(features.flatten(2).transpose(1, 2))
        windows, patches = vectors.shape[:2]
        mean = mean_similarity(vectors, vectors)
        names: dict[tuple[float, ...], list[str]] = {}  # rules of one threshold keep the same entries
        for rule in counted:
            cut = torch.as_tensor(rule.scale_and_threshold(mean)[1], dtype=mean.dtype, device=mean.device)
            names.setdefault(tuple(cut.expand_as(mean).flatten().tolist()), []).append(rule.name)
        cuts = torch.tensor(list(names), dtype=mean.dtype, device=mean.device)
        kept = kept_per_row(vectors, cuts)
        total = round(float(mean.double().sum()) / UNIT)
        for sharing, cut, rows in zip(names.values(), cuts, kept, strict=True):
            threshold = round(float(cut.double().sum()) / UNIT)
            counts = [windows, total, threshold, windows * patches, windows * patches**2, int(rows.sum()),
                      int((rows == 1).sum())]
            for name in sharing:
                self._add(name, np.array(counts, np.int64))

    def merge(self, other: Geometry) -> None:
        """Add the counts of another part of the same set."""
        for name, counts in other.counts.items():
            self._add(name, counts)

    def compute(self) -> pd.DataFrame:
        """One row per masking rule: rule, mean_similarity and threshold (cosines, means over windows), kept (entries
        that get a weight) and rows_alone (rows that keep only themselves), both in per cent, and windows.
        """
        rows = []
        for name, counts in self.counts.items():
            of = dict(zip(COUNTS, counts.tolist(), strict=True))
            rows.append({"rule": name, "mean_similarity": of["mean"] * UNIT / of["windows"],
                         "threshold": of["threshold"] * UNIT / of["windows"], "kept": 100 * of["kept"] / of["entries"],
                         "rows_alone": 100 * of["alone"] / of["rows"], "windows": of["windows"]})
        return pd.DataFrame(rows, columns=["rule", "mean_similarity", "threshold", "kept", "rows_alone", "windows"])

    def _add(self, name: str, counts: np.ndarray) -> None:
        self.counts[name] = self.counts.get(name, 0) + counts


def kept_per_row(vectors: Tensor, thresholds: Tensor) -> Tensor:
    """Number of entries of each row of ``S`` that reach a threshold, at least the row's maximum.

    Unit rows (B, N, C) float and thresholds (T, B) float -> (T, B, N) int64.
    """
    images, count = vectors.shape[:2]
    entries = BLOCK_ENTRIES.get(vectors.device.type, BLOCK_ENTRIES["cuda"])
    step = max(1, entries // max(1, images * count))
    kept = torch.empty(len(thresholds), images, count, dtype=torch.int64, device=vectors.device)
    transposed = vectors.transpose(1, 2)
    for start in range(0, count, step):
        similarity = full_precision(vectors[:, start : start + step] @ transposed)
        maximum = similarity.amax(dim=-1, keepdim=True)
        reached = torch.empty_like(similarity)  # floats, which are summed many times faster than booleans
        for number, threshold in enumerate(thresholds):
            torch.ge(similarity, torch.minimum(maximum, threshold[:, None, None]), out=reached)
            kept[number, :, start : start + step] = reached.sum(dim=-1).long()
    return kept
