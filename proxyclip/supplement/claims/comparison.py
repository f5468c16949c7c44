"""Claims that compare methods: sections E, F and G, and our own checks of chapter H."""

from functools import partial

import pandas as pd

from proxyclip.evaluation.result import Row
from proxyclip.inference.pamr import PAMR
from proxyclip.rules import NACLIP, ClearCLIP
from proxyclip.supplement.claims.claim import (
    CLIP_KINDS,
    CLOSE,
    DEFAULT,
    IDENTITY,
    Answer,
    Test,
    Value,
    averages,
    enumerated,
    is_published,
    mean_of,
    per_set,
    scores,
)
from proxyclip.supplement.display_names import method_of
from proxyclip.supplement.measures.evaluation_records import DIFFERENCE
from proxyclip.supplement.paper import BARE, FREE, FULL, WEAK


def _e1(frame: pd.DataFrame) -> Answer:
    values = averages(frame, ("vanilla", "qk"))
    if len(values) < 2:
        return None, "The run lacks CLIP as trained or q-k."
    vanilla, inside = values.values()
    return inside.exceeds(vanilla, CLOSE), f"Average mIoU {vanilla} as trained, {inside} with q-k inside the module."


def _e2(frame: pd.DataFrame) -> Answer:
    values = averages(frame, CLIP_KINDS)
    if len(values) < len(CLIP_KINDS):
        return None, "The run lacks one of q-k, q-q and k-k."
    listed = enumerated(f"{value} with {CLIP_KINDS[kind]}" for kind, value in values.items())
    return all(values[kind].exceeds(values["qk"], CLOSE) for kind in ("qq", "kk")), f"Average mIoU {listed}."


def _e3(frame: pd.DataFrame) -> Answer:
    others = per_set(frame, [DEFAULT, *CLIP_KINDS])
    proxy = others.pop(DEFAULT)
    if not proxy or any(set(proxy) - set(found) for found in others.values()):
        return None, "The run lacks one of proxy, q-k, q-q and k-k on some set."
    return _ahead_on_every_set(proxy, others, "proxy", "the three")


def _large(frame: pd.DataFrame) -> dict[tuple[str, str], dict[str, Value]]:
    """(supervision, method) -> set -> mIoU, and their average.

    A method without training is shown in two readings, with the last block's residual connection and MLP and without;
    the one that is better on average counts.
    """
    rows = scores(frame)
    rows = rows[(rows["dataset"] != "average") & rows["setting"].isin([FULL, WEAK, FREE, BARE])]
    found: dict[tuple[str, str], dict[str, Value]] = {}
    for (setting, method), part in rows.groupby(["setting", "method"], sort=False):
        values = {name: mean_of(map(Value, same["value"], same["error"]))
                  for name, same in part.groupby("dataset", sort=False)}
        values["average"] = mean_of(values.values())
        key = (FREE if setting == BARE else setting, method)
        if key not in found or values["average"].value > found[key]["average"].value:
            found[key] = values
    return found


PROXY = (FREE, "ProxyCLIP")


def _f1(frame: pd.DataFrame) -> Answer:
    found = _large(frame)
    rest = {key: values for key, values in found.items() if key != PROXY and key[0] != FULL}
    if PROXY not in found or not rest:
        return None, "The run lacks ProxyCLIP or anything to compare it with."
    proxy = found[PROXY]
    best = max(rest, key=lambda key: rest[key]["average"].value)
    compared = enumerated(name for _, name in rest)
    ahead = all(proxy[name].exceeds(values[name]) for values in rest.values() for name in proxy if name in values)
    return ahead, (f"Average mIoU {proxy['average']} against {rest[best]['average']} of the next best, {best[1]} "
                   f"(compared with {compared}, each in the better of its readings).")


def _supervised(frame: pd.DataFrame, column: str) -> tuple[Value, list[Value]] | None:
    """Value of the proxy and of each fully-supervised method on a set, or on average."""
    found = _large(frame)
    full = [values[column] for (kind, _), values in found.items() if kind == FULL and column in values]
    return (found[PROXY][column], full) if PROXY in found and full and column in found[PROXY] else None


NO_SUPERVISED = "The run has no fully-supervised method to compare with."


def _f2(frame: pd.DataFrame) -> Answer:
    name = next(iter(frame.loc[frame["stands_for"] == "ade847", "dataset"]), "ade847")
    if (found := _supervised(frame, name)) is None:
        return None, NO_SUPERVISED
    proxy, rest = found
    ahead = sum(map(proxy.exceeds, rest))
    where = "ADE847" if name == "ade847" else f"{name}, which stands for ADE847,"
    if len(rest) == 1:
        return ahead > 0, f"On {where} it has {proxy} mIoU, {_the_only_one(rest)}."
    return ahead > len(rest) / 2, f"On {where} {proxy} mIoU exceeds {ahead} of {len(rest)} fully-supervised methods."


def _f3(frame: pd.DataFrame) -> Answer:
    if (found := _supervised(frame, "average")) is None:
        return None, NO_SUPERVISED
    proxy, rest = found
    median = float(pd.Series([value.value for value in rest]).median())
    others = (_the_only_one(rest) if len(rest) == 1 else
              f"the median of {len(rest)} fully-supervised methods is {median:.1f}")
    return proxy.value >= CLOSE * median, f"Average mIoU {proxy}; {others}."


def _the_only_one(values: list[Value]) -> str:
    """The score of the one method that there is, in words."""
    return f"the one fully-supervised method of this run {values[0]}"


def _f4(frame: pd.DataFrame) -> Answer:
    if (found := _supervised(frame, "average")) is None:
        return None, NO_SUPERVISED
    others = {name: values["average"] for (kind, name), values in _large(frame).items() if kind != FULL}
    best = max(others, key=lambda name: others[name].value)
    above = sum(value.exceeds(others[best]) for value in found[1])
    if len(found[1]) == 1:
        return above > 0, f"The best of the others, {best}, has {others[best]}, {_the_only_one(found[1])}."
    return above > len(found[1]) / 2, (
        f"{above} of {len(found[1])} fully-supervised methods exceed the best of the others, {best} with "
        f"{others[best]} on average.")


def _ahead(frame: pd.DataFrame, metric: str, what: str) -> Answer:
    """Whether the default rule has the highest value of a metric on every set."""
    rules = dict.fromkeys(frame.loc[(frame["metric"] == metric) & (frame["rule"] != IDENTITY), "rule"])
    values = per_set(frame, rules, metric)
    proxy = values.pop(DEFAULT, {})
    if not proxy or not values:
        return None, f"The supplement states no {what}." if is_published(frame) else f"No {what} was measured."
    return _ahead_on_every_set(proxy, values, f"{what} of ProxyCLIP", "the others")


def _ahead_on_every_set(proxy: dict[str, Value], others: dict[str, dict[str, Value]], what: str, rest: str) -> Answer:
    """Whether a method exceeds each other one on each set, with the set of the smallest margin."""
    best = {name: max((found[name] for found in others.values()), key=lambda value: value.value) for name in proxy}
    ahead = [name for name, value in proxy.items() if value.exceeds(best[name])]
    nearest = min(proxy, key=lambda name: proxy[name].value - best[name].value)
    margin = "it is furthest behind" if proxy[nearest].value < best[nearest].value else "the smallest margin is"
    return len(ahead) == len(proxy), (
        f"{what[0].upper()}{what[1:]} is ahead on {len(ahead)} of {len(proxy)} sets by more than the standard error; "
        f"{margin} on {nearest}, {proxy[nearest]} against {best[nearest]} of the best of {rest}.")


def _g4(frame: pd.DataFrame) -> Answer:
    shares = per_set(frame, [DEFAULT], "led_classes")[DEFAULT]
    if not shares:
        return None, "The supplement states none." if is_published(frame) else "Outlines of classes were not measured."
    listed = enumerated(f"{value.value:.0f} % on {name}" for name, value in shares.items())
    return all(value.value > 50 for value in shares.values()), (
        f"The share of object classes whose boundary IoU is highest with ProxyCLIP is {listed}.")


#: The refinement that is compared with none.
PAMR_NAME = PAMR().name
LATER = (ClearCLIP(), NACLIP())


def _over(frame: pd.DataFrame, rule: str, refinement: str, over: str) -> Value | None:
    """The mean over the sets of a rule's paired difference to another score."""
    rows = frame[(frame["metric"] == DIFFERENCE) & (frame["rule"] == rule) & (frame["refinement"] == refinement)
                 & (frame["over"] == over)]
    return mean_of(map(Value, rows["value"], rows["error"])) if len(rows) else None


def _ahead_of_later(frame: pd.DataFrame, refinement: str) -> Answer:
    found = {method_of(rule.name): _over(frame, DEFAULT, refinement, str(Row(rule, refinement))) for rule in LATER}
    differences = [value for value in found.values() if value is not None]
    if len(differences) < len(LATER):
        return None, "The run lacks paired differences to ClearCLIP and NACLIP."
    listed = enumerated(f"{value} over {method}" for method, value in found.items())
    return all(value.exceeds(Value(0.0)) for value in differences), f"The mean of the paired differences is {listed}."


def _gains(frame: pd.DataFrame) -> Answer:
    refined = frame[(frame["metric"] == DIFFERENCE) & (frame["refinement"] == PAMR_NAME)]
    changes = {f"{method}{f' ({vfm})' if vfm else ''}": change
               for (rule, method, vfm), part in refined.groupby(["rule", "method", "vfm"], sort=False)
               if (change := _over(part, rule, PAMR_NAME, rule)) is not None}
    if not changes:
        return None, "No method was scored without and with PAMR on the same images."
    listed = enumerated(f"{change.value:+.1f} ± {change.error:.1f} for {name}" for name, change in changes.items())
    return all(change.exceeds(Value(0.0)) for change in changes.values()), f"The means change by {listed}."


COMPARISON_TESTS: dict[str, Test] = {
    "E1": _e1, "E2": _e2, "E3": _e3, "F1": _f1, "F2": _f2, "F3": _f3, "F4": _f4,
    "G1": partial(_ahead, metric="boundary_iou", what="boundary IoU"),
    "G2": partial(_ahead, metric="small_recall", what="recall of small objects"),
    "G3": partial(_ahead, metric="miou", what="mIoU"),
    "G4": _g4,
    "H1": partial(_ahead_of_later, refinement=""),
    "H2": partial(_ahead_of_later, refinement=PAMR_NAME),
    "H3": _gains,
}
