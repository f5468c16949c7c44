"""How similar a vision foundation model finds the patches of an image: what the thresholds of sections B and D cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from proxyclip.attention import full_precision, mean_similarity, sides, unit
from proxyclip.data.base import Dataset
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.inference.windows import Box
from proxyclip.segment import ProxyCLIP

#: Bins of the histogram over [-1, 1]; the median is read from it, exact to a bin's width of 0.001.
BINS = 2000


@dataclass(frozen=True)
class SimilarityStatistics:
    """Distribution of the cosines between patches of the same window, over the windows of a set."""

    counts: np.ndarray  #: (BINS,) int64
    edges: np.ndarray  #: (BINS + 1,) float64
    mean: float  #: Mean over windows of ``mean(S)``; the adaptive threshold is beta times this, on average.
    kept: pd.Series  #: Fraction of entries at or above ``beta * mean(S)``, by beta, averaged over windows.
    windows: int

    @property
    def total(self) -> np.ndarray:
        """(BINS + 1,) float64: number of cosines below each edge."""
        return np.concatenate([[0.0], np.cumsum(self.counts)])

    @property
    def median(self) -> float:
        """Median cosine, interpolated inside its bin."""
        return float(np.interp(self.total[-1] / 2, self.total, self.edges))

    def quantile_of(self, threshold: float) -> float:
        """Fraction of the cosines below a threshold."""
        return float(np.interp(threshold, self.edges, self.total) / self.total[-1])

    def below(self, steps: int = 100) -> pd.DataFrame:
        """What a fixed threshold masks: columns ``threshold``, from -1 to 1, and ``masked``, in per cent."""
        share, step = self.total / self.counts.sum(), BINS // steps
        return pd.DataFrame({"threshold": self.edges[::step], "masked": 100 * share[::step]})

    def fingerprint(self, quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95)) -> dict[str, float]:
        """The mean of ``S`` over the windows, and quantiles of its entries: ``{"mean": 0.42, "5 %": -0.1, ...}``."""
        found = np.interp(np.multiply(quantiles, self.total[-1]), self.total, self.edges)
        return {"mean": self.mean, **{f"{100 * share:g} %": float(at) for share, at in
                                      zip(quantiles, found, strict=True)}}


@torch.inference_mode()
def window_similarities(
    model: ProxyCLIP, image: np.ndarray
) -> Iterator[tuple[Box, tuple[int, int], torch.Tensor, torch.Tensor]]:
    """Each window with the rows and columns of its grid, its (N, N) cosines and their (1, 1) mean."""
    for windows in model.windows(model.prepare_windows(image), batch=1):
        (box,), features = windows.boxes, windows.vfm_features()
        rows = unit(features.flatten(2).transpose(1, 2))
        yield box, sides(features), (rows @ rows.mT)[0], mean_similarity(rows, rows)[0]


@torch.inference_mode()
def similarity_statistics(
    model: ProxyCLIP, data: Dataset, betas: Sequence[float] = (1.2,), limit: int | None = None
) -> SimilarityStatistics:
    """Measure the similarities of the model's vision foundation model on the first images of a set, under its protocol.

    The kept fraction is measured for each of the ``betas``.
    """
    counts = torch.zeros(BINS, dtype=torch.float64)
    means: list[torch.Tensor] = []
    kept: list[torch.Tensor] = []
    model, data = under_protocol(model, data), data.first(limit)
    for sample in data:
        for _, _, similarity, mean in window_similarities(model, np.array(sample.image)):
            similarity, mean = full_precision(similarity).clamp(-1, 1), mean[0, 0]
            counts += torch.histc(similarity, BINS, -1, 1).double().cpu()
            means.append(mean.cpu())
            kept.append(torch.stack([(similarity >= beta * mean).float().mean() for beta in betas]).cpu())
    return SimilarityStatistics(
        counts.long().numpy(), np.linspace(-1, 1, BINS + 1), float(torch.stack(means).mean()),
        pd.Series(torch.stack(kept).mean(dim=0).tolist(), index=list(betas)), len(means),
    )
