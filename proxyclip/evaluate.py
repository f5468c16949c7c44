"""The scores of rules on a set, as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from proxyclip.base import Dataset
    from proxyclip.rules import Rule
    from proxyclip.segment import ProxyCLIP


def evaluate(
    model: ProxyCLIP,
    dataset: Dataset | str,
    rules: Sequence[Rule | str] | None = None,
    limit: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Score rules on a set, all in one pass.

    Parameters
    ----------
    model : ProxyCLIP
    dataset : Dataset or str
        A set, or the name of one.
    rules : sequence of Rule or str, optional
        ``[Adaptive()]`` by default. The backbones run once per window, whatever the number of rules.
    limit : int, optional
        Only the first ``limit`` images.
    **options
        As for :func:`proxyclip.evaluation.run`.

    Returns
    -------
    pandas.DataFrame
        One row per rule: rule, miou, macc, aacc (per cent), images; ``attrs["skipped"]`` lists what was
        left out.
    """
    from proxyclip.evaluation import run  # the models' libraries: seconds, which importing the package does not take

    return run(model, dataset, rules, limit, **options).frame()
