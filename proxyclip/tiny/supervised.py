"""The supervised reference of section F, read as a rule of the tiny CLIP."""

from dataclasses import dataclass
from functools import cache

from torch import Tensor

from proxyclip.rules.block import BlockView, ClipRule
from proxyclip.tiny import models
from proxyclip.tiny.segmentation_head import FINER, READ_BLOCKS, SegmentationHead

#: Name of the shipped model.
NAME = "tiny_supervised"


@dataclass(frozen=True)
class Supervised(ClipRule):
    """The embeddings of ``tiny_supervised``, a segmenter on the tiny CLIP's frozen features, trained on named masks.

    It is no part of ProxyCLIP but stands for the fully-supervised methods of Table 4, which this package does not
    implement. :func:`proxyclip.rules.parsing.parse_rule` does not know it, since it fits one CLIP only.
    """

    depth = models.CLIP_VISION.depth
    finer = FINER

    @property
    def name(self) -> str:
        return "supervised"

    def read(self, block: BlockView) -> Tensor:
        """Tokens of the head, (B, N * FINER ** 2, width); ``ValueError`` if CLIP is not the tiny one."""
        views = [*block.earlier, block]
        if len(views) != self.depth or block.tokens.shape[-1] != models.CLIP_VISION.width:
            raise ValueError(f"{NAME} reads tiny_clip alone, of {self.depth} blocks {models.CLIP_VISION.width} wide")
        tokens = [views[index].tokens[:, 1:] for index in READ_BLOCKS]
        return shipped_head().to(block.tokens.device)(tokens, block.patch_values, block.grid)


@cache
def shipped_head() -> SegmentationHead:
    """The head with its shipped weights."""
    head = models.load(NAME)
    assert isinstance(head, SegmentationHead)
    return head
