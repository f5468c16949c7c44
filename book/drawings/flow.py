"""The data flow of the method as an SVG that follows the page, drawn with the pictures of one scene."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from book.pages.rendering import render
from proxyclip.inference.saving import data_uri
from proxyclip.supplement.figures import scene_pictures as scenes

#: Side of a picture in the diagram.
SIDE = 124
#: What is drawn where, in a wide drawing and in a tall one for a phone.
WIDE = {"image": (0, 30), "similarity": (188, 30), "mask": (376, 30), "attention": (564, 30),
        "clip": (0, 234), "alone": (188, 234), "average": (376, 234), "labels": (564, 234)}
TALL = {"image": (0, 30), "similarity": (210, 30), "mask": (210, 224), "attention": (210, 418),
        "clip": (0, 224), "alone": (0, 418), "average": (0, 612), "labels": (210, 612)}
TITLES = {"image": "image", "similarity": "S = F Fᵀ", "mask": "mask: S ≥ β mean(S)", "attention": "P = softmax(γ S)",
          "clip": "CLIP", "alone": "values v, by patch", "average": "z = P v", "labels": "labels"}
#: What stands in the boxes that hold no picture.
LINES = {"clip": ("everything up to", "the last block,", "residual and MLP", "of it left out"),
         "average": ("each patch takes", "the mean of the", "values that P", "gives weight")}
ARROWS = [("image", "similarity", "VFM"), ("similarity", "mask", ""), ("mask", "attention", ""), ("image", "clip", ""),
          ("clip", "alone", ""), ("alone", "average", ""), ("attention", "average", ""), ("average", "labels", "words")]


def diagram(
    parts: Mapping[str, scenes.Picture], wrong: Mapping[str, float], where: str,
    names: Sequence[tuple[str, tuple[int, int, int]]],
) -> Markup:
    """The data flow: a wide drawing, and a tall one for a phone.

    ``parts`` are the pictures of the steps image, similarity, mask, attention, alone and labels; ``wrong`` is the share
    of the pixels, in per cent, that ``CLIP`` and, with ProxyCLIP, ``labels`` mislabel; ``names`` are the classes in the
    pictures of labels with their colours.
    """
    pictures = {name: data_uri(parts[name].pixels) for name in TITLES if name not in LINES}
    return render("flow", wide=WIDE, tall=TALL, side=SIDE, titles=TITLES, lines=LINES, arrows=ARROWS, arrow=_arrow,
                  pictures=pictures, wrong=wrong, where=where, names=names)


def _arrow(first: tuple[int, int], last: tuple[int, int]) -> tuple[str, float, float]:
    """An arrow from one picture's side to another's, straight or with one corner, and the place of its text."""
    (x1, y1), (x2, y2), middle = first, last, SIDE / 2
    if y1 == y2:  # along the row, always to the right
        return f"M{x1 + SIDE + 4} {y1 + middle}H{x2 - 4}", (x1 + SIDE + x2) / 2, y1 + middle - 8
    if x1 == x2:
        return f"M{x1 + middle} {y1 + SIDE + 4}V{y2 - 25}", x1 + middle + 8, (y1 + SIDE + y2) / 2
    turn = y2 - 48  # down from one row, then along to the picture's top
    return f"M{x1 + middle} {y1 + SIDE + 4}V{turn}H{x2 + middle}V{y2 - 25}", (x1 + x2) / 2, turn - 6
