"""The claims ledger: every testable sentence of the supplement, with the test that judges it.

A claim is judged on records (:mod:`proxyclip.supplement.records`), by the same function whether they were measured here
or printed in the paper. What "good", "close" and "within reach" mean is chosen once
(:data:`proxyclip.supplement.claims.claim.CLOSE`) and written beside each claim that uses it. Records may hold several
sets, VFMs and seeds; seeds are averaged first.

Which records a claim reads is said in its ``criterion``. Metrics are ``miou`` (all sections), ``params``, ``speed``,
``memory`` and ``flops`` (C), ``median_cosine`` (D), ``boundary_iou`` and ``small_recall`` (G), and the structural names
of :data:`proxyclip.supplement.paper.STABLE_DIFFUSION` (A).
"""

from __future__ import annotations

from collections.abc import Iterable

from proxyclip.supplement.claims.claim import Claim
from proxyclip.supplement.claims.cost import COST_CLAIMS
from proxyclip.supplement.claims.quality import QUALITY_CLAIMS
from proxyclip.supplement.records import Record, Verdict, table

#: All claims by id, in the order of the supplement.
CLAIMS: dict[str, Claim] = {
    claim.id: claim for claim in sorted((*COST_CLAIMS, *QUALITY_CLAIMS), key=lambda claim: claim.id)
}


def judge(records: Iterable[Record], section: str | None = None) -> dict[str, Verdict]:
    """Judge the claims of a section, or all.

    Parameters
    ----------
    records : iterable of Record
        Of one profile, beside records counted on architectures.
    section : str, optional
        Letter.

    Returns
    -------
    dict of str to Verdict, by claim id, in the order of the ledger

    Raises
    ------
    ValueError
        If measurements of several profiles are mixed.
    """
    frame = table(records)
    profiles = sorted(set(frame["profile"]) - {"architecture"})
    if len(profiles) > 1:
        raise ValueError(f"a claim is judged on one profile at a time, got records of {', '.join(profiles)}")
    return {claim.id: claim.judge(frame) for claim in CLAIMS.values() if section in (None, claim.section)}
