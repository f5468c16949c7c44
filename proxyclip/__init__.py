"""ProxyCLIP, re-implemented for the executable edition of its supplement.

Names are imported when they are first used: torch, timm and open_clip take seconds to import, for which ``proxyclip
--help`` and the processes that only start notebooks need not wait. ``__init__.pyi`` lists them.
"""

import lazy_loader

from proxyclip import _torchvision_schemas

__version__ = "0.1.0"

_torchvision_schemas.declare_before_torchvision()
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
