"""Turn the official downloads into the layouts of :mod:`proxyclip.data.benchmarks`.

The class of each number is read from the names that come with a download, which are matched with the class lists of
:mod:`proxyclip.data.vocab`; a class without a match is an error. Only Cityscapes comes without a list of names, so
:data:`CITYSCAPES_NUMBERS` holds its numbers.

The paper leaves one choice open: COCO-Object paints overlapping instances from the largest to the smallest, so that
small objects in front of or within larger ones stay visible.
"""

from proxyclip.data.prepare.ade_full import ade847
from proxyclip.data.prepare.coco import coco_object, coco_object_from_maps, coco_stuff
from proxyclip.data.prepare.label_files import Prepared
from proxyclip.data.prepare.pascal_context import context, pc459
from proxyclip.data.prepare.street_scenes import CITYSCAPES_NUMBERS, cityscapes

__all__ = ["CITYSCAPES_NUMBERS", "Prepared", "ade847", "cityscapes", "coco_object", "coco_object_from_maps",
           "coco_stuff", "context", "pc459"]
