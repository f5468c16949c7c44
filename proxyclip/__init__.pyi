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
from .models.registry import register_vfm as register_vfm
from .models.registry import unregister_vfm as unregister_vfm
from .rules import (
    GEM as GEM,
)
from .rules import (
    NACLIP as NACLIP,
)
from .rules import (
    SCLIP as SCLIP,
)
from .rules import (
    Adaptive as Adaptive,
)
from .rules import (
    ClearCLIP as ClearCLIP,
)
from .rules import (
    ClipAttention as ClipAttention,
)
from .rules import (
    HardMask as HardMask,
)
from .rules import (
    Identity as Identity,
)
from .rules import (
    MaskCLIP as MaskCLIP,
)
from .rules import (
    Rule as Rule,
)
from .rules import (
    Vanilla as Vanilla,
)
from .rules import (
    parse_rule as parse_rule,
)
from .segment import ProxyCLIP as ProxyCLIP
from .text import Vocabulary as Vocabulary

__version__: str
