"""ProxyCLIP, re-implemented for the executable edition of its supplement."""

from proxyclip import _torchvision_schemas  # noqa: F401  (first: open_clip and timm import torchvision)

__version__ = "0.1.0"
