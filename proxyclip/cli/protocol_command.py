"""``proxyclip protocol``: what decides an mIoU besides the models, one card for each benchmark."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def protocol(
    name: Annotated[
        str | None, typer.Argument(help="Benchmark, such as voc21 or ade847@published; all names if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
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
