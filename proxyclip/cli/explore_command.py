"""``proxyclip explore``: write a page that shows the attention of every patch of a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def split_classes(text: str) -> list[str]:
    """Classes of a command line: separated by commas, the queries of a class by semicolons."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def explore(
    image: Annotated[Path, typer.Argument(help="The photo.", show_default=False)],
    classes: Annotated[
        str | None, typer.Option(help='Classes, separated by commas; several words for one class by semicolons. '
                                      "Without classes the page shows the attention alone.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.")] = Path("explorer.html"),
    profile: Annotated[
        str, typer.Option(help='"tiny" (shipped with the package, offline) or "paper" (full-size models).')
    ] = "tiny",
    rule: Annotated[
        str, typer.Option(help="Where it starts: adaptive, adaptive:1.2,3, hard:0.4, identity, qk, qq, kk.")
    ] = "adaptive",
    vfm: Annotated[
        list[str] | None, typer.Option(help="Vision foundation model; repeat it to compare several on the page.")
    ] = None,
    vfm_weights: Annotated[
        list[str] | None, typer.Option(help='A file, or "random"; one for each --vfm, in their order.')
    ] = None,
    clip: Annotated[str | None, typer.Option(help="open_clip architecture.")] = None,
    clip_weights: Annotated[str | None, typer.Option(help='A file, a published tag, or "random".')] = None,
    prob_threshold: Annotated[
        float | None, typer.Option(help="Below this probability a pixel belongs to the first class.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Side of the sliding window, pixels.")] = None,
    stride: Annotated[int | None, typer.Option(help="Step of the sliding window, pixels.")] = None,
    short_side: Annotated[
        int | None, typer.Option(help="Resize the short side first (default: 336, tiny: 128); 0 keeps the size.")
    ] = None,
    device: Annotated[str, typer.Option(help='Where the models run, such as "cpu" or "cuda".')] = "cpu",
) -> None:
    """Write a page that shows the attention of every patch of a photo; it needs neither models nor a network."""
    import proxyclip
    from proxyclip.loading import load_vfm

    names, files = vfm or [None], vfm_weights or []
    if len(set(names)) < len(names):
        raise ValueError(f"--vfm names a model twice: {', '.join(names)}")
    if len(files) > len(names):
        raise ValueError(f"{len(files)} times --vfm-weights for {len(names)} foundation models; name each with --vfm")
    vocabulary = None if classes is None else proxyclip.Vocabulary.parse(split_classes(classes))
    pixels = proxyclip.read_image(image)
    start = proxyclip.parse_rule(rule)
    if short_side is None:
        short_side = {"paper": 336, "tiny": 128}.get(profile if clip is None else "paper")
    weights = [*files, *[None] * (len(names) - len(files))]
    model = proxyclip.load(
        profile if clip is None else None, clip=clip, clip_weights=clip_weights, vfm=names[0] or "default",
        vfm_weights=weights[0], window=window, stride=stride, short_side=short_side or None, device=device,
    )
    others = [load_vfm(name, file, crop=model.window).to(model.device)
              for name, file in zip(names[1:], weights[1:], strict=True)]
    explorer = model.explore(pixels, vocabulary, start, vfms=[model.vfm, *others], prob_threshold=prob_threshold,
                             title=f"Attention explorer: {image.name}")
    explorer.save(output)
    print(explorer.scenes[0]["note"])
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB)")
