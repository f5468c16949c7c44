"""``proxyclip protocol`` and ``diagnose``: what decides an mIoU besides the models, and what each setting costs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from proxyclip.cli.options import DataFolder, Limit, ModelOptions, Rule, Vfm, VfmWeights, with_options

Json = Annotated[bool, typer.Option("--json", help="For machines.")]


def protocol(
    name: Annotated[
        str | None, typer.Argument(help="Benchmark, such as voc21 or ade847@published; all names if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the protocol card of a benchmark: resizing, windows, words, thresholds, labels, metric."""
    from proxyclip.data.benchmarks import BENCHMARKS, VARIANTS
    from proxyclip.data.protocol_card import published_card

    if name is None:
        cards = [published_card(each) for each in (*BENCHMARKS, *VARIANTS)]
        if as_json:
            print(json.dumps({card.name: card.sha256 for card in cards}, indent=1))
            return
        for card in cards:
            print(f"{card.name:<18} {card.sha256}")
        return
    card = published_card(name)
    if as_json:
        print(json.dumps({**card.as_dict(), "sha256": card.sha256}, indent=1, ensure_ascii=False))
        return
    entries = list(card.lines())
    width = max(len(what) for what, _ in entries)
    for what, value in entries:
        print(f"{what:<{width}}  {value}")


@with_options
def diagnose(
    models: ModelOptions,
    dataset: Annotated[str, typer.Option(help="Set to evaluate on.")] = "tiny/voc",
    observed: Annotated[
        float | None, typer.Option(help="The mIoU to explain, per cent: settings that come within the error are named.")
    ] = None,
    rule: Rule = "adaptive",
    setting: Annotated[
        list[str] | None, typer.Option(help="Setting to change; may be repeated. [default: all]")
    ] = None,
    limit: Limit = None,
    data: DataFolder = None,
    labels: Annotated[
        Path | None, typer.Option(help="Folder of the same label files by another conversion (COCO-Object).")
    ] = None,
    vfm: Vfm = None,
    vfm_weights: VfmWeights = None,
    as_json: Json = False,
) -> None:
    """Change one setting of the protocol at a time and print what each costs in mIoU, with its standard error."""
    # Imported here: --help answers without loading torch.
    from proxyclip.data.datasets import dataset as open_dataset
    from proxyclip.diagnosis.engine import diagnose as measure

    subject = open_dataset(dataset, data)
    model = models.load(vfm, vfm_weights)
    result = measure(model, subject, rule, limit, setting, labels, show=sys.stderr.isatty())
    explanations = [] if observed is None else result.explain(observed)
    if as_json:
        print(json.dumps({**result.record(), "explanations": [asdict(one) for one in explanations]}, indent=1))
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
