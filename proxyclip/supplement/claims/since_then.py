"""Our own checks of chapter H: the methods that came after the supplement, without and with PAMR."""

from __future__ import annotations

import pandas as pd

from proxyclip.rules import NACLIP, Adaptive, ClearCLIP
from proxyclip.supplement.claims.claim import Answer, Claim, Value, average, enumerated
from proxyclip.supplement.display_names import method_of
from proxyclip.supplement.records import WITH_PAMR

PROXY = Adaptive().name
LATER = (ClearCLIP().name, NACLIP().name)


def _ahead(frame: pd.DataFrame, setting: str) -> Answer:
    rows = frame[frame["setting"] == setting]
    found = {rule: average(rows, rule) for rule in (PROXY, *LATER)}
    if any(value is None for value in found.values()):
        return None, f"The run lacks {enumerated(method_of(rule) for rule, value in found.items() if value is None)}."
    listed = enumerated(f"{found[rule]} for {method_of(rule)}" for rule in LATER)
    return all(found[PROXY].exceeds(found[rule]) for rule in LATER), (
        f"The average is {found[PROXY]} for ProxyCLIP, {listed}.")


def _plain(frame: pd.DataFrame) -> Answer:
    return _ahead(frame, "")


def _refined(frame: pd.DataFrame) -> Answer:
    return _ahead(frame, WITH_PAMR)


def _gains(frame: pd.DataFrame) -> Answer:
    rows = frame[frame["metric"] == "miou"]
    changes: dict[str, tuple[Value, Value]] = {}
    for (rule, vfm), part in rows.groupby(["rule", "vfm"], sort=False):
        pair = [average(part[part["setting"] == setting], rule) for setting in (WITH_PAMR, "")]
        if None not in pair:
            changes[f"{method_of(rule)}{f' ({vfm})' if vfm else ''}"] = (pair[0], pair[1])
    if not changes:
        return None, "No method was scored without and with PAMR."
    listed = enumerated(f"{after.value - before.value:+.1f} for {name}" for name, (after, before) in changes.items())
    return all(after.exceeds(before) for after, before in changes.values()), f"The means change by {listed}."


SINCE_CHECKS: tuple[Claim, ...] = (
    Claim("H1", "H", "ProxyCLIP is ahead of the methods without training that came after it.",
          "Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all without PAMR.", _plain, True),
    Claim("H2", "H", "It stays ahead when the masks of all of them are refined.",
          "Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all with PAMR.", _refined, True),
    Claim("H3", "H", "PAMR helps every method.",
          "With PAMR, the average mIoU over the sets of every method is higher than without.", _gains),
)
