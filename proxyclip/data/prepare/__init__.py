"""From the official downloads to the layouts of :mod:`proxyclip.data.benchmarks`.

Which number means which class is never written down here: it is read from the names that come with each
download and matched with the class lists of :mod:`proxyclip.data.vocab`; a class without a match is an error.

What the paper does not say is a choice, and is called one: COCO-Object paints overlapping instances from the
largest to the smallest, so that what lies in front or within stays visible.

Cityscapes is the exception: its download has no list of names, so :data:`CITYSCAPES_NUMBERS` holds them.
"""

from proxyclip.data.prepare.ade_full import ade847
from proxyclip.data.prepare.coco import coco_object, coco_object_from_maps, coco_stuff
from proxyclip.data.prepare.label_files import Prepared
from proxyclip.data.prepare.pascal_context import context, pc459
from proxyclip.data.prepare.street_scenes import CITYSCAPES_NUMBERS, cityscapes

__all__ = ["CITYSCAPES_NUMBERS", "Prepared", "ade847", "cityscapes", "coco_object", "coco_object_from_maps",
           "coco_stuff", "context", "pc459"]
