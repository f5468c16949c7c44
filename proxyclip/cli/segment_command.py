"""``proxyclip segment``: label every pixel of a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxyclip.cli.options import (
    ClassOptions,
    MaxPixels,
    ModelOptions,
    ProbThreshold,
    Rule,
    Vfm,
    VfmWeights,
    WindowOptions,
    with_options,
)


@with_options
def segment(
    image: Annotated[Path, typer.Argument(help="The photo.", show_default=False)],
    words: ClassOptions,
    models: ModelOptions,
    windows: WindowOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write.")] = Path("segmentation.png"),
    vfm: Vfm = None,
    vfm_weights: VfmWeights = None,
    rule: Rule = "adaptive",
    prob_threshold: ProbThreshold = None,
    pamr: Annotated[bool, typer.Option("--pamr", help="Refine the masks by the photo's colours.")] = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Label every pixel of a photo with your words."""
    import proxyclip

    vocabulary = words.vocabulary()
    pixels = proxyclip.read_image(image, max_pixels=max_pixels)
    attention = proxyclip.parse_rule(rule)
    model = models.load(vfm, vfm_weights, **windows.sizes())
    refine = proxyclip.PAMR() if pamr else None
    result = model.segment(pixels, vocabulary, attention, prob_threshold, refine)
    result.save(output)
    print(f"{model.describe()}, rule {attention.name}{f' + {refine.name}' if refine else ''}")
    untrained = [name for name, weights in (("CLIP", models.clip_weights), ("the VFM", vfm_weights))
                 if weights == "random"]
    if untrained:
        print(f"untrained: {' and '.join(untrained)} (random weights); the labels have no meaning")
    for name, share in result.shares().items():
        print(f"{100 * share:6.1f} %  {name}")
    print(output)
