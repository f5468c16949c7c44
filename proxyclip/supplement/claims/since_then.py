"""Our own checks of chapter H: the methods that came after the supplement, without and with PAMR."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from proxyclip.inference.pamr import PAMR
from proxyclip.rules import NACLIP, ClearCLIP
from proxyclip.supplement.claims import reasons
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


def _lead(frame: pd.DataFrame) -> str:
    """What PAMR brings each method, and what that makes of ProxyCLIP's lead."""
    pairs = {name.partition(" (")[0]: pair for name, pair in _changes(frame).items()}
    later = [method_of(rule) for rule in LATER]
    own = pairs.get(method_of(DEFAULT))
    if own is None or not set(later) <= set(pairs):
        return ""
    gains = enumerated(f"{after.value - before.value:+.1f} to {name}" for name, (after, before) in
                       ((name, pairs[name]) for name in (*later, method_of(DEFAULT))))
    best = [max((pairs[name][number] for name in later), key=lambda value: value.value) for number in (0, 1)]
    after, before = (round(own[number].value - best[number].value, 1) + 0.0 for number in (0, 1))  # no "-0.0"
    error = math.hypot(own[0].error, best[0].error)
    return (f"PAMR brings {gains}, so that ProxyCLIP's lead over the better of the others goes from {before:+.1f} to "
            f"{after:+.1f} points, with a standard error of {error:.1f}.")


def _where_it_costs(frame: pd.DataFrame) -> str:
    """The method that gains least, with the sets on which it loses."""
    rows = frame[frame["metric"] == "miou"]
    keys = ["rule", "vfm", "dataset"]
    after, before = (rows[rows["refinement"] == refinement].groupby(keys, sort=False)["value"].mean()
                     for refinement in (REFINED, ""))
    change = (after - before).dropna()
    if change.empty:
        return ""
    rule, vfm = change.groupby(["rule", "vfm"]).mean().idxmin()
    of_sets = change.sort_index().loc[rule, vfm].sort_values()
    name = f"{method_of(rule)}{f' with {vfm}' if vfm else ''}"
    lost = of_sets[of_sets.round(1) < 0]
    named = enumerated(f"{name} ({value:+.1f})" for name, value in lost.items())
    losses = f"; it loses on {named}" if len(lost) else ""
    return (f"{name} gains least, {of_sets.mean():+.1f} on average, no more than the standard error; at best it gains "
            f"{of_sets.max():+.1f}, on {of_sets.idxmax()}{losses}.")


SINCE_CHECKS: tuple[Claim, ...] = (
    Claim("H1", "H", "ProxyCLIP is ahead of the methods without training that came after it.",
          f"Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all without PAMR, {BEYOND}.",
          partial(_ahead, refinement=""), True,
          lambda frame: reasons.of_the_mask(frame[frame["refinement"] == ""])),
    Claim("H2", "H", "It stays ahead when the masks of all of them are refined.",
          f"Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all with PAMR, {BEYOND}.",
          partial(_ahead, refinement=REFINED), True, _lead),
    Claim("H3", "H", "PAMR helps every method.",
          f"With PAMR, the average mIoU over the sets of every method is higher than without, {BEYOND}.", _gains,
          reason=_where_it_costs),
)
