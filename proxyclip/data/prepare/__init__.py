"""Turn the official downloads into the layouts of :mod:`proxyclip.data.benchmarks`.

The class of each number is read from the names that come with a download, which are matched with the class lists of
:mod:`proxyclip.data.vocab`; a class without a match is an error. Only Cityscapes comes without a list of names, so
:data:`CITYSCAPES_LABELS` holds its labels.

By default each function makes the labels that are published for its set. Where another conversion is in use, it is an
option, the folder of the labels keeps its name, and the protocol card of the set says so.
"""

from proxyclip.data.prepare.ade_full import ade847
from proxyclip.data.prepare.coco import coco_object, coco_object_from_maps, coco_stuff
from proxyclip.data.prepare.label_files import Prepared
from proxyclip.data.prepare.pascal_context import context, pc459
from proxyclip.data.prepare.street_scenes import CITYSCAPES_LABELS, cityscapes

__all__ = ["CITYSCAPES_LABELS", "Prepared", "ade847", "cityscapes", "coco_object", "coco_object_from_maps",
           "coco_stuff", "context", "pc459"]
