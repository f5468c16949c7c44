"""What a claim is, and how its test reads records.

The claims themselves are listed in :mod:`proxyclip.supplement.claims.ledger`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from proxyclip.rules import Identity
from proxyclip.supplement.paper import DEFAULT_RULE
from proxyclip.supplement.records import Verdict

#: A value is "good", "close to" or "within reach of" the best if it has at least this share of it. A gain is notable
#: only beyond the same margin.
CLOSE = 0.95
PERCENT = f"{CLOSE:.0%}".replace("%", " %")

#: What "higher" means (:meth:`Value.exceeds`), in the words of a criterion.
BEYOND = "by more than the standard error"

#: Rules that tests compare: the supplement's default, and its control.
DEFAULT, IDENTITY = DEFAULT_RULE, Identity().name
#: CLIP's own similarities inside the module: rule -> the name that readers know.
CLIP_KINDS = {"qk": "q-k", "qq": "q-q", "kk": "k-k"}

#: What a test returns: the answer, or None where the records cannot tell, and the sentence with the figures.
Answer = tuple[bool | None, str]
#: A test: of a frame of :func:`proxyclip.supplement.records.table`, of one profile and one section.
Test = Callable[[pd.DataFrame], Answer]


@dataclass(frozen=True)
class Claim:
    """One testable sentence."""

    id: str
    section: str
    statement: str  #: What the supplement says, in our words.
    criterion: str  #: What is tested, as a number.
    test: Test
    by_vfm: bool = False  #: Whether the claim is about one foundation model at a time; its verdict then names it.

    def judge(self, frame: pd.DataFrame, vfm: str | None = None) -> Verdict:
        """Judge the claim on the records of its section (rows of other sections are not looked at).

        A claim about one foundation model is judged for ``vfm``, by default the first of :func:`vfms_in`. If the
        records make the test raise an error, the claim is "not run", and the verdict names the error: judging must not
        cost a run its records.
        """
        rows = frame[frame["section"] == self.section]
        if not self.by_vfm:
            vfm = ""
        else:
            vfm = next(iter(vfms_in(rows)), "") if vfm is None else vfm
            rows = rows[rows["vfm"].isin(["", vfm])]
        of_one_image = rows["n"].astype(float) < 2  # no number of a single image says anything about a set
        rows = rows[~of_one_image]
        try:
            holds, figures = self.test(rows)
        except Exception as error:
            message = " ".join(str(error).split()) or "no message"
            holds, figures = None, f"These records cannot be judged ({type(error).__name__}: {message})."
        if holds is None and of_one_image.any():
            figures = "The scores come from a single image; a verdict needs at least two."
        if holds is None:
            return Verdict(self.id, "not run", figures)
        figures = f"With {vfm}: {figures[0].lower() + figures[1:]}" if vfm else figures
        return Verdict(self.id, "holds" if holds else "does not hold", figures, vfm)


def vfms_in(frame: pd.DataFrame) -> list[str]:
    """Foundation models whose mIoU the records hold; those of the paper's family, DINO, come first."""
    rows = frame[(frame["vfm"] != "") & frame["metric"].isin(["miou", "boundary_iou", "miou_difference"])]
    names = list(dict.fromkeys(rows["vfm"]))
    family = dict(zip(rows["vfm"], rows["family"], strict=True))
    return sorted(names, key=lambda name: family[name] != "DINO")


def is_published(frame: pd.DataFrame) -> bool:
    """Whether the records are the paper's own."""
    return bool((frame["profile"] == "published").all())


@dataclass(frozen=True)
class Value:
    """A score with its standard error, 0 where none is known (numbers in print have none)."""

    value: float
    error: float = 0.0

    def exceeds(self, other: Value, share: float = 1.0) -> bool:
        """Whether ``share`` of it is above another value by more than the standard error of the difference.

        The two errors are combined as if they were independent. Both values come from the same images, where errors are
        mostly correlated, so the true error of the difference is smaller.
        """
        apart = share * self.value - other.value
        return apart > math.hypot(share * self.error, other.error)

    def __str__(self) -> str:
        return f"{self.value:.1f} ± {self.error:.1f}" if self.error else f"{self.value:.1f}"


def mean_of(values: Iterable[Value]) -> Value:
    """Mean of values with independent errors."""
    values = list(values)
    error = math.sqrt(sum(value.error**2 for value in values)) / len(values)
    return Value(sum(value.value for value in values) / len(values), error)


def scores(frame: pd.DataFrame, metric: str = "miou") -> pd.DataFrame:
    """Values of one metric, averaged over seeds, with the error of that mean and the columns that distinguish them."""
    keys = ["dataset", "vfm", "rule", "method", "setting", "refinement", "time_step", "alpha", "beta", "gamma"]
    chosen = frame[frame["metric"] == metric]
    chosen = chosen.assign(square=chosen["error"].fillna(0.0).astype(float) ** 2)
    grouped = chosen.groupby(keys, dropna=False, sort=False)
    found = grouped.agg(value=("value", "mean"), square=("square", "sum"), count=("value", "size")).reset_index()
    return found.assign(error=found["square"].astype(float) ** 0.5 / found["count"]).drop(columns=["square", "count"])


def pivot(frame: pd.DataFrame, row: str, column: str, values: str = "value") -> pd.DataFrame:
    """Records as a table: in each cell the mean of its records, or (``values="error"``) the error of that mean."""
    wide = frame.assign(square=frame["error"].astype(float) ** 2).pivot_table(
        index=row, columns=column, values={"value": "value", "error": "square"}[values], sort=False, dropna=False,
        aggfunc="mean" if values == "value" else lambda squares: math.sqrt(squares.sum(skipna=False)) / len(squares))
    return wide.astype(float)


def per_set(frame: pd.DataFrame, rules: Iterable[str], metric: str = "miou") -> dict[str, dict[str, Value]]:
    """Value of each rule on each set (without printed averages), averaged over VFMs; may be empty."""
    rows = scores(frame, metric)
    rows = rows[rows["dataset"] != "average"]
    return {rule: {name: mean_of(map(Value, part["value"], part["error"]))
                   for name, part in rows[rows["rule"] == rule].groupby("dataset", sort=False)} for rule in rules}


def averages(frame: pd.DataFrame, rules: Iterable[str]) -> dict[str, Value]:
    """Mean over the sets of those rules that were measured; a printed average where the sets are not given."""
    rows = scores(frame)
    printed = rows[rows["dataset"] == "average"].drop_duplicates("rule").set_index("rule")["value"]
    return {rule: mean_of(values.values()) if values else Value(float(printed[rule]))
            for rule, values in per_set(frame, rules).items() if values or rule in printed}


def enumerated(items: Iterable[str]) -> str:
    """``a, b and c``."""
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"
