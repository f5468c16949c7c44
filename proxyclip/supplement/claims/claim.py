"""What a claim is, and how its test reads records.

The claims themselves are listed in :mod:`proxyclip.supplement.claims.ledger`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from proxyclip.supplement.records import Verdict

#: What is "good", "close to" or "within reach of" the best has at least this share of the best value. A change is an
#: improvement that a claim calls notable when it exceeds the same margin.
CLOSE = 0.95

#: What a test returns: the answer, or None where the records cannot tell, and the sentence with the figures.
Answer = tuple[bool | None, str]


@dataclass(frozen=True)
class Claim:
    """One testable sentence.

    Parameters
    ----------
    id, section : str
    statement : str
        What the supplement says, in our words.
    criterion : str
        What is tested, as a number.
    test : callable
        Frame of :func:`proxyclip.supplement.records.table`, of one profile and one section -> :data:`Answer`.
    """

    id: str
    section: str
    statement: str
    criterion: str
    test: Callable[[pd.DataFrame], Answer]

    def judge(self, frame: pd.DataFrame) -> Verdict:
        """Judge the claim on the records of its section (rows of other sections are not looked at).

        A test that cannot cope with the records gives "not run" and its reason: a verdict never costs a run.
        """
        try:
            holds, figures = self.test(frame[frame["section"] == self.section])
        except Exception as error:
            reason = " ".join(str(error).split()) or "no message"
            holds, figures = None, f"These records cannot be judged ({type(error).__name__}: {reason})."
        return Verdict(self.id, "not run" if holds is None else "holds" if holds else "does not hold", figures)


# -------------------------------------------------------------------------------------------------- reading the records


def scores(frame: pd.DataFrame, metric: str = "miou") -> pd.DataFrame:
    """Values of one metric, averaged over seeds; beside ``value``, the columns that tell them apart."""
    keys = ["dataset", "vfm", "rule", "method", "setting", "alpha", "beta", "gamma"]
    chosen = frame[frame["metric"] == metric]
    return chosen.groupby(keys, dropna=False, sort=False, as_index=False)["value"].mean()


def per_set(frame: pd.DataFrame, rule: str, metric: str = "miou") -> pd.Series:
    """Value of a rule on each set (without printed averages), averaged over VFMs; may be empty."""
    rows = scores(frame, metric)
    rows = rows[(rows["rule"] == rule) & (rows["dataset"] != "average")]
    return rows.groupby("dataset", sort=False)["value"].mean()


def average(frame: pd.DataFrame, rule: str, metric: str = "miou") -> float | None:
    """Mean over the sets of a rule; a printed average where the sets are not given; None where there is neither."""
    values = per_set(frame, rule, metric)
    if len(values):
        return float(values.mean())
    rows = scores(frame, metric)
    printed = rows[(rows["rule"] == rule) & (rows["dataset"] == "average")]["value"]
    return float(printed.iloc[0]) if len(printed) else None


def enumerated(items: Iterable[str]) -> str:
    """``a, b and c``."""
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"
