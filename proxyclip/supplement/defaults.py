"""The sets and foundation models of a chapter, by profile, where its parameter is None."""

from __future__ import annotations

import json

from proxyclip.loading import PROFILES

#: Sets of each chapter where the parameter ``datasets`` is None. The supplement's text does not name the four sets of
#: Fig. 1; B takes one of each kind.
CHAPTER_SETS = {
    "tiny": {
        "A": ("tiny/voc", "tiny/context", "tiny/stuff"),
        "B": ("tiny/voc", "tiny/context", "tiny/stuff", "tiny/street"),
        "C": ("tiny/stuff",),
        "D": ("tiny/stuff",),
        "E": ("tiny/voc", "tiny/context", "tiny/object", "tiny/voc20", "tiny/stuff", "tiny/street", "tiny/indoor"),
        "F": ("tiny/longtail", "tiny/medley"),
        "G": ("tiny/street", "tiny/voc", "tiny/context"),
        "H": ("tiny/voc", "tiny/context", "tiny/object", "tiny/voc20", "tiny/stuff", "tiny/street", "tiny/indoor"),
    },
    "paper": {
        "A": ("voc21", "context60", "coco_stuff"),
        "B": ("voc21", "context60", "coco_stuff", "cityscapes"),
        "C": ("coco_stuff",),
        "D": ("coco_stuff",),
        "E": ("voc21", "context60", "coco_object", "voc20", "context59", "coco_stuff", "cityscapes", "ade150"),
        "F": ("ade847", "pc459"),
        "G": ("cityscapes", "voc21", "context59"),
        "H": ("voc21", "context60", "coco_object", "voc20", "context59", "coco_stuff", "cityscapes", "ade150"),
    },
}  # fmt: skip


#: The tiny DINO corresponds to the paper's; the tiny SAM, trained on the masks of its world, is a stronger proxy.
SIDE_BY_SIDE = ("tiny_dino", "tiny_sam")

#: Vision foundation models of a chapter where the parameter ``vfm`` is None; chapters not named take the profile's.
VFMS_OF = {
    "tiny": {**dict.fromkeys("BEFGH", SIDE_BY_SIDE), "A": ("tiny_sd",),
             "C": ("tiny_dino", "tiny_dino8", "tiny_dinov2", "tiny_mae", "tiny_sam"),
             "D": ("tiny_mae", "tiny_sam", "tiny_dinov2", "tiny_dino")},
    "paper": {"A": ("sd15",), "C": ("dino_vits16", "dino_vits8", "dino_vitb16", "dino_vitb8"),
              "D": ("mae_vitb16", "sam_vit_b", "dinov2_vitb14_reg", "dino_vitb8"), "H": ("dino_vitb8", "sam_vit_b")},
}

#: Folders with the results of other runs, relative to the one that the notebook runs in.
RESULT_FOLDERS = ("results", "../results")


def usual_vfms(section: str, profile: str) -> tuple[str, ...]:
    """Vision foundation models of a chapter where the parameter ``vfm`` is None."""
    names = VFMS_OF[profile].get(section, (PROFILES[profile].vfm,))
    return tuple(filter(_is_shipped, names))


def _is_shipped(vfm: str) -> bool:
    """Whether a tiny model has weights in this version of the package; the others come from their hubs."""
    if not vfm.startswith("tiny_"):
        return True
    from proxyclip.tiny import models

    return models.MANIFEST.is_file() and vfm in json.loads(models.MANIFEST.read_text(encoding="utf-8"))
