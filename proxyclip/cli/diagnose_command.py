"""``proxyclip diagnose``: which setting of the protocol makes a number differ, and by how much."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def diagnose(
    dataset: Annotated[str, typer.Option(help="Set to evaluate on.")] = "tiny/voc",
    observed: Annotated[
        float | None, typer.Option(help="The mIoU to explain, per cent: settings that come within the error are named.")
    ] = None,
    rule: Annotated[str, typer.Option(help="What CLIP attends to: adaptive, hard:0.4, qq, maskclip, …")] = "adaptive",
    setting: Annotated[
        list[str] | None, typer.Option(help="Setting to change; may be repeated. [default: all]")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first images.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the set, or of several. [env: PROXYCLIP_DATA]")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of the same label files by another conversion (COCO-Object).")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="tiny (default) or paper.")] = None,
    clip: Annotated[str | None, typer.Option(help="open_clip architecture.")] = None,
    clip_weights: Annotated[str | None, typer.Option(help='File, or "random".')] = None,
    vfm: Annotated[str | None, typer.Option(help="Vision foundation model.")] = None,
    vfm_weights: Annotated[str | None, typer.Option(help='File, or "random".')] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Change one setting of the protocol at a time and print what each costs in mIoU, with its standard error."""
    # Imported here: --help answers without loading torch.
    from proxyclip.data.datasets import dataset as open_dataset
    from proxyclip.diagnosis.engine import diagnose as measure
    from proxyclip.loading import load

    subject = open_dataset(dataset, data)
    model = load(
        profile, clip=clip, clip_weights=clip_weights, vfm=vfm or "default", vfm_weights=vfm_weights, device=device,
        window=subject.protocol.window, stride=subject.protocol.stride,
    )  # fmt: skip
    result = measure(model, subject, rule, limit, setting, labels, show=sys.stderr.isatty())
    explanations = [] if observed is None else result.explain(observed)
    if as_json:
        found = [{"settings": one.settings, "miou": one.miou, "error": one.error, "distance": one.distance}
                 for one in explanations]
        print(json.dumps({**result.record(), "explanations": found}, indent=1))
        return
    print(f"{result.card.name}, rule {result.rule}, {result.images} images: "
          f"mIoU {result.miou:.2f} ± {result.error:.2f} under the protocol")
    for row in result.frame().itertuples():
        print(f"{-row.cost:+7.2f} ± {row.error:4.2f}  {row.setting:<14}  {row.changed}")
    for name, reason in result.left_out.items():
        print(f"{'–':>7}         {name:<14}  {reason}")
    print(f"the backbones ran as often as in {result.evaluations:.1f} evaluations")
    if observed is not None:
        head = f"within the error of {observed:g}:" if explanations else f"no setting leads to {observed:g}, nor do two"
        print(f"\n{head}")
        for one in explanations:
            print(f"  {one}")
