"""The data flow of the method as an SVG that follows the page, drawn with the pictures of one scene."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from proxyclip.supplement.figures import scene_pictures as scenes

#: Side of a picture in the diagram.
SIDE = 124


def diagram(
    parts: Mapping[str, scenes.Picture], wrong: Mapping[str, float], where: str,
    names: Sequence[tuple[str, tuple[int, int, int]]],
) -> Markup:
    """The data flow: a wide drawing, and a tall one for a phone.

    ``parts`` are the pictures of the steps image, similarity, mask, attention, alone and labels; ``wrong`` is the share
    of the pixels, in per cent, that ``CLIP`` and, with ProxyCLIP, ``labels`` mislabel; ``names`` are the classes in the
    pictures of labels with their colours.
    """
    wide = {"image": (0, 30), "similarity": (188, 30), "mask": (376, 30), "attention": (564, 30),
            "clip": (0, 234), "alone": (188, 234), "average": (376, 234), "labels": (564, 234)}
    tall = {"image": (0, 30), "similarity": (210, 30), "mask": (210, 224), "attention": (210, 418),
            "clip": (0, 224), "alone": (0, 418), "average": (0, 612), "labels": (210, 612)}
    drawings = (f'<div class="on-wide">{_drawing(parts, wide, (688, 362))}</div>'
                f'<div class="on-phone">{_drawing(parts, tall, (334, 740))}</div>')
    seen = ("The foundation model says where the marked patch looks (top), CLIP what it finds there (bottom). On this "
            f"scene CLIP as trained mislabels {wrong['CLIP']:.0f} % of the pixels, ProxyCLIP "
            f"{wrong['labels']:.0f} %.")
    legend = Markup("").join(Markup('<li><i style="background:rgb{}"></i>{}</li>').format(colour, name)
                             for name, colour in names)
    return Markup('<figure class="book-figure flow">{}<ul class="classes" aria-label="classes by colour">{}</ul>'
                  "<figcaption>The data flow of ProxyCLIP, drawn with one scene: {}."
                  '<p class="seen"><strong>What you see.</strong> {}</p></figcaption></figure>').format(
                      Markup(drawings), legend, where, seen)


def _drawing(
    parts: Mapping[str, scenes.Picture], places: Mapping[str, tuple[int, int]], size: tuple[int, int]
) -> str:
    titles = {"image": "image", "similarity": "S = F Fᵀ", "mask": "mask: S ≥ β mean(S)",
              "attention": "P = softmax(γ S)", "clip": "CLIP", "alone": "values v, by patch", "average": "z = P v",
              "labels": "labels"}
    arrows = [("image", "similarity", "VFM"), ("similarity", "mask", ""), ("mask", "attention", ""),
              ("image", "clip", ""), ("clip", "alone", ""), ("alone", "average", ""), ("attention", "average", ""),
              ("average", "labels", "words")]
    tip = f"tip{size[0]}"  # two drawings stand on one page
    body = "".join(_arrow(places[first], places[last], text, tip) for first, last, text in arrows)
    for name, (x, y) in places.items():
        body += f'<text x="{x + SIDE / 2}" y="{y - 9}" class="title">{titles[name]}</text>'
        if name in ("clip", "average"):
            lines = (("everything up to", "the last block,", "residual and MLP", "of it left out") if name == "clip"
                     else ("each patch takes", "the mean of the", "values that P", "gives weight"))
            body += f'<rect x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" rx="8" class="box"/>'
            body += "".join(f'<text x="{x + SIDE / 2}" y="{y + 38 + 19 * number}">{line}</text>'
                            for number, line in enumerate(lines))
        else:
            body += (f'<image x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" preserveAspectRatio="xMidYMid slice" '
                     f'href="{scenes.data_uri(parts[name].pixels)}"/>')
    alt = ("Data flow. A vision foundation model turns the image into patch features; their cosines S are masked at "
           "beta times their mean and normalised to the attention P. CLIP's last block turns the image into values v. "
           "P v, compared with words, gives a label for every pixel.")
    marker = (f'<defs><marker id="{tip}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
              'orient="auto"><path d="M0 0L8 4L0 8z" class="tip"/></marker></defs>')
    return (f'<svg role="img" aria-label="{alt}" viewBox="0 0 {size[0]} {size[1]}" '
            f'xmlns="http://www.w3.org/2000/svg">{marker}{body}</svg>')


def _arrow(first: tuple[int, int], last: tuple[int, int], text: str, tip: str) -> str:
    """An arrow from one picture's side to another's, straight or with one corner."""
    (x1, y1), (x2, y2) = first, last
    middle = SIDE / 2
    if y1 == y2:  # along the row, always to the right
        path = f"M{x1 + SIDE + 4} {y1 + middle}H{x2 - 4}"
        label = ((x1 + SIDE + x2) / 2, y1 + middle - 8)
    elif x1 == x2:
        path = f"M{x1 + middle} {y1 + SIDE + 4}V{y2 - 25}"
        label = (x1 + middle + 8, (y1 + SIDE + y2) / 2)
    else:  # down from one row, then along to the picture's top
        turn = y2 - 48
        path = f"M{x1 + middle} {y1 + SIDE + 4}V{turn}H{x2 + middle}V{y2 - 25}"
        label = ((x1 + x2) / 2, turn - 6)
    name = f'<text x="{label[0]}" y="{label[1]}" class="on-arrow">{text}</text>' if text else ""
    return f'<path d="{path}" class="arrow" marker-end="url(#{tip})"/>{name}'
