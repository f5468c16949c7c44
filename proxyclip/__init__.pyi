"""The public names and their types; they are imported when they are first used."""

from .data.datasets import dataset as dataset
from .data.folders import folder_dataset as folder_dataset
from .evaluation.evaluator import evaluate as evaluate
from .evaluation.paired_comparison import compare as compare
from .inference.images import read_image as read_image
from .inference.pamr import PAMR as PAMR
from .inference.segmentation import Segmentation as Segmentation
from .loading import load as load
from .models.changed_geometry import with_geometry as with_geometry
from .models.registry import register_vfm as register_vfm, unregister_vfm as unregister_vfm
from .rules import (
    GEM as GEM,
    NACLIP as NACLIP,
    SCLIP as SCLIP,
    Adaptive as Adaptive,
    ClearCLIP as ClearCLIP,
    ClipAttention as ClipAttention,
    HardMask as HardMask,
    Identity as Identity,
    MaskCLIP as MaskCLIP,
    Rule as Rule,
    Vanilla as Vanilla,
    parse_rule as parse_rule,
)
from .segment import ProxyCLIP as ProxyCLIP
from .text import Vocabulary as Vocabulary

__version__: str
