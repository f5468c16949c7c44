"""ProxyCLIP, re-implemented for the executable edition of its supplement."""

from proxyclip import _torchvision_schemas  # noqa: F401  (first: open_clip and timm import torchvision)
from proxyclip.datasets import dataset
from proxyclip.evaluate import evaluate
from proxyclip.images import read_image
from proxyclip.loading import load
from proxyclip.rules import GEM, SCLIP, Adaptive, ClipAttention, HardMask, MaskCLIP, Rule, Vanilla, parse_rule
from proxyclip.segment import ProxyCLIP
from proxyclip.segmentation import Segmentation
from proxyclip.text import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "GEM",
    "SCLIP",
    "Adaptive",
    "ClipAttention",
    "HardMask",
    "MaskCLIP",
    "ProxyCLIP",
    "Rule",
    "Segmentation",
    "Vanilla",
    "Vocabulary",
    "dataset",
    "evaluate",
    "load",
    "parse_rule",
    "read_image",
]
