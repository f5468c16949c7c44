"""``proxyclip explore``: write a page that shows the attention of every patch of a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxyclip.cli.options import ClassOptions, MaxPixels, ModelOptions, ProbThreshold, WindowOptions, with_options


@with_options
def explore(
    image: Annotated[Path, typer.Argument(help="The photo.", show_default=False)],
    words: ClassOptions,
    models: ModelOptions,
    windows: WindowOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.")] = Path("explorer.html"),
    rule: Annotated[
        str, typer.Option(help="Where it starts: adaptive, adaptive:1.2,3, hard:0.4, identity, qk, qq, kk.")
    ] = "adaptive",
    vfm: Annotated[
        list[str] | None, typer.Option(help="Vision foundation model; repeat it to compare several on the page.")
    ] = None,
    vfm_weights: Annotated[
        list[str] | None, typer.Option(help='A file, or "random"; one for each --vfm, in their order.')
    ] = None,
    prob_threshold: ProbThreshold = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Write a page that shows the attention of every patch of a photo; it needs neither models nor a network.

    Without classes the page shows the attention alone.
    """
    import proxyclip
    from proxyclip.loading import load_vfm

    names: list[str | None] = list(vfm) if vfm else [None]
    files = vfm_weights or []
    if len(set(names)) < len(names):
        raise ValueError(f"--vfm names a model twice: {', '.join(map(str, names))}")
    if len(files) > len(names):
        raise ValueError(f"{len(files)} times --vfm-weights for {len(names)} foundation models; name each with --vfm")
    vocabulary = None if words == ClassOptions() else words.vocabulary()
    pixels = proxyclip.read_image(image, max_pixels=max_pixels)
    start = proxyclip.parse_rule(rule)
    weights = [*files, *[None] * (len(names) - len(files))]
    model = models.load(names[0], weights[0], **windows.sizes())
    others = [load_vfm(str(name), file, crop=model.window).to(model.device)
              for name, file in zip(names[1:], weights[1:], strict=True)]
    first = [] if model.vfm is None else [model.vfm]
    explorer = model.explore(pixels, vocabulary, start, vfms=[*first, *others], prob_threshold=prob_threshold,
                             title=f"Attention explorer: {image.name}")
    explorer.save(output)
    print(explorer.scenes[0]["note"])
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB)")
