"""Our own checks of chapter H: the methods that came after the supplement, without and with PAMR."""

from __future__ import annotations

from functools import partial

import pandas as pd

from proxyclip.inference.pamr import PAMR
from proxyclip.rules import NACLIP, ClearCLIP
from proxyclip.supplement.claims.claim import BEYOND, DEFAULT, Answer, Claim, Value, average, enumerated
from proxyclip.supplement.display_names import method_of

#: The refinement that is compared with none.
REFINED = PAMR().name
LATER = (ClearCLIP().name, NACLIP().name)


def _ahead(frame: pd.DataFrame, refinement: str) -> Answer:
    rows = frame[frame["refinement"] == refinement]
    found = {rule: average(rows, rule) for rule in (DEFAULT, *LATER)}
    if any(value is None for value in found.values()):
        return None, f"The run lacks {enumerated(method_of(rule) for rule, value in found.items() if value is None)}."
    listed = enumerated(f"{found[rule]} for {method_of(rule)}" for rule in LATER)
    return all(found[DEFAULT].exceeds(found[rule]) for rule in LATER), (
        f"The average is {found[DEFAULT]} for ProxyCLIP, {listed}.")


def _changes(frame: pd.DataFrame) -> dict[str, tuple[Value, Value]]:
    """Average with PAMR and without it, by method and foundation model."""
    rows = frame[frame["metric"] == "miou"]
    changes: dict[str, tuple[Value, Value]] = {}
    for (rule, vfm), part in rows.groupby(["rule", "vfm"], sort=False):
        pair = [average(part[part["refinement"] == refinement], rule) for refinement in (REFINED, "")]
        if None not in pair:
            changes[f"{method_of(rule)}{f' ({vfm})' if vfm else ''}"] = (pair[0], pair[1])
    return changes


def _gains(frame: pd.DataFrame) -> Answer:
    changes = _changes(frame)
    if not changes:
        return None, "No method was scored without and with PAMR."
    listed = enumerated(f"{after.value - before.value:+.1f} for {name}" for name, (after, before) in changes.items())
    return all(after.exceeds(before) for after, before in changes.values()), f"The means change by {listed}."


SINCE_CHECKS: tuple[Claim, ...] = (
    Claim("H1", "H", "ProxyCLIP is ahead of the methods without training that came after it.",
          f"Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all without PAMR, {BEYOND}.",
          partial(_ahead, refinement=""), True),
    Claim("H2", "H", "It stays ahead when the masks of all of them are refined.",
          f"Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all with PAMR, {BEYOND}.",
          partial(_ahead, refinement=REFINED), True),
    Claim("H3", "H", "PAMR helps every method.",
          f"With PAMR, the average mIoU over the sets of every method is higher than without, {BEYOND}.", _gains),
)
