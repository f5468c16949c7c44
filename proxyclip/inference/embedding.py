"""The dense embedding of an image under one rule: a unit vector for each patch of each window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from proxyclip.inference.windows import Placement, PreparedImage, stitch_rows


@dataclass(frozen=True)
class DenseEmbedding:
    """The embedding of an image under one rule: a unit vector for each patch of each window.

    Its memory does not depend on the number of classes; :meth:`rows` gives the logits of a few rows at a time.
    """

    windows: Tensor  #: (windows, D, rows, columns) float32: unit vectors along dim 1.
    place: Placement  #: Where the windows lie in the working image.

    @classmethod
    def of(cls, batches: Sequence[Tensor], image: PreparedImage) -> DenseEmbedding:
        """Join the embeddings of an image's batches of windows."""
        return cls(join(batches), Placement(image.boxes, image.padding, image.working_size, image.size))

    @property
    def size(self) -> tuple[int, int]:
        """(H, W): size of the image itself."""
        return self.place.final

    def logits(self, text: Tensor) -> Tensor:
        """Cosines with text embeddings, averaged over windows, at the image's size: (q, D) -> (q, H, W) float32."""
        return self.enlarge(self.scores(text))

    def rows(self, text: Tensor, held: int) -> Iterator[Tensor]:
        """:meth:`logits` for a few rows at a time, (rows, q, W) float32, from the top: as many as fit into ``held``
        bytes, one at least.
        """
        step = max(1, held // (4 * len(text) * self.size[1]))
        first = first_equal(text)
        repeated = not torch.equal(first, torch.arange(len(text)))
        for block in stitch_rows(self.scores(text), self.place, step):
            # Products round by position, but equal queries have equal logits: the lower class wins everywhere.
            yield block[:, first] if repeated else block

    def scores(self, text: Tensor) -> Tensor:
        """Cosines with text embeddings on the grid of patches, (q, D) -> (windows, q, rows, columns) float32."""
        tokens = self.windows.flatten(2).mT  # the layout in memory
        scores = tokens @ text.to(tokens.device).T
        return scores.mT.contiguous().unflatten(-1, self.windows.shape[-2:])

    def enlarge(self, scores: Tensor, region: tuple[slice, slice] | None = None) -> Tensor:
        """Resize scores to the windows, average overlapping windows, resize to the image; each query by itself.

        Of (windows, q, rows, columns) float32 it makes (q, H, W) float32, or a region of it, given as rows and columns.
        """
        rows, columns = region or (slice(None), slice(None))
        (found,) = stitch_rows(scores, self.place._replace(columns=columns), self.size[0], rows)
        return found.transpose(0, 1)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Join the embeddings of batches of windows."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def first_equal(text: Tensor) -> Tensor:
    """The first row that equals each row, (q, D) -> (q,) int64 on the CPU."""
    places: dict[bytes, int] = {}
    return torch.tensor([places.setdefault(row.tobytes(), number) for number, row in enumerate(text.cpu().numpy())])
