"""Our own checks of chapter H: the methods that came after the supplement, without and with PAMR."""

from __future__ import annotations

from functools import partial

import pandas as pd

from proxyclip.evaluation.result import REFINED
from proxyclip.inference.pamr import PAMR
from proxyclip.rules import NACLIP, ClearCLIP
from proxyclip.supplement.claims.claim import BEYOND, DEFAULT, Answer, Claim, Value, enumerated, mean_of
from proxyclip.supplement.display_names import method_of
from proxyclip.supplement.measures.evaluation_records import DIFFERENCE

#: The refinement that is compared with none.
PAMR_NAME = PAMR().name
PAIRED = f"{BEYOND} of the paired difference"
LATER = (ClearCLIP().name, NACLIP().name)


def _over(frame: pd.DataFrame, rule: str, refinement: str, over: str) -> Value | None:
    """The mean over the sets of a rule's paired difference to another score."""
    rows = frame[(frame["metric"] == DIFFERENCE) & (frame["rule"] == rule) & (frame["refinement"] == refinement)
                 & (frame["over"] == over)]
    return mean_of(map(Value, rows["value"], rows["error"])) if len(rows) else None


def _ahead(frame: pd.DataFrame, refinement: str) -> Answer:
    suffix = refinement and f"{REFINED}{refinement}"
    found = {rule: _over(frame, DEFAULT, refinement, f"{rule}{suffix}") for rule in LATER}
    differences = [value for value in found.values() if value is not None]
    if len(differences) < len(LATER):
        return None, "The run lacks paired differences to ClearCLIP and NACLIP."
    listed = enumerated(f"{value} over {method_of(rule)}" for rule, value in found.items())
    return all(value.exceeds(Value(0.0)) for value in differences), f"The mean of the paired differences is {listed}."


def _gains(frame: pd.DataFrame) -> Answer:
    refined = frame[(frame["metric"] == DIFFERENCE) & (frame["refinement"] == PAMR_NAME)]
    changes = {f"{method_of(rule)}{f' ({vfm})' if vfm else ''}": change
               for (rule, vfm), part in refined.groupby(["rule", "vfm"], sort=False)
               if (change := _over(part, rule, PAMR_NAME, rule)) is not None}
    if not changes:
        return None, "No method was scored without and with PAMR on the same images."
    listed = enumerated(f"{change.value:+.1f} ± {change.error:.1f} for {name}" for name, change in changes.items())
    return all(change.exceeds(Value(0.0)) for change in changes.values()), f"The means change by {listed}."


SINCE_CHECKS: tuple[Claim, ...] = (
    Claim("H1", "H", "ProxyCLIP is ahead of the methods without training that came after it.",
          f"Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all without PAMR, {PAIRED}.",
          partial(_ahead, refinement=""), True),
    Claim("H2", "H", "It stays ahead when the masks of all of them are refined.",
          f"Average mIoU over the sets is higher than ClearCLIP's and NACLIP's, all with PAMR, {PAIRED}.",
          partial(_ahead, refinement=PAMR_NAME), True),
    Claim("H3", "H", "PAMR helps every method.",
          f"With PAMR, the average mIoU over the sets of every method is higher than without, {PAIRED}.", _gains),
)
