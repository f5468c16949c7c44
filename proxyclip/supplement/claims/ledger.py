"""The claims ledger: every testable sentence of the supplement, with the test that judges it.

A claim is judged on records (:mod:`proxyclip.supplement.records`), by the same function whether they were measured here
or printed in the paper. What "good", "close" and "within reach" mean is chosen once
(:data:`proxyclip.supplement.claims.claim.CLOSE`) and stated in the criterion of each claim that uses it. Seeds are
averaged first. A value counts as higher than another only if the difference exceeds its standard error. A claim about
the proxy is judged for one VFM at a time, by default for the one of the paper's family.

:data:`CHECKS` are tests of our own. The supplement does not claim what they ask, so they are no part of the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proxyclip.supplement.claims.claim import BEYOND, PERCENT, Claim, vfms_in
from proxyclip.supplement.claims.comparison import COMPARISON_TESTS
from proxyclip.supplement.claims.cost import COST_TESTS, FLOPS_TOLERANCE
from proxyclip.supplement.claims.quality import QUALITY_TESTS
from proxyclip.supplement.records import Record, Verdict, table
from proxyclip.system.own_files import shipped


@dataclass(frozen=True)
class _Row:
    """A claim in ``ledger.toml``."""

    statement: str
    criterion: str
    by_vfm: bool = False


_TESTS = {**COST_TESTS, **QUALITY_TESTS, **COMPARISON_TESTS}
_WORDS = {"close": PERCENT, "beyond": BEYOND, "tolerance": f"{100 * FLOPS_TOLERANCE:g} %"}

#: All claims by id, in the order of the supplement, and our own checks.
CLAIMS, CHECKS = (
    {name: Claim(name, name[0], row.statement, row.criterion.format_map(_WORDS), _TESTS[name], row.by_vfm)
     for name, row in rows.items()}
    for rows in shipped(Path(__file__).with_suffix(".toml"), dict[str, dict[str, _Row]]).values())


def judge(records: Iterable[Record], section: str | None = None) -> dict[str, Verdict]:
    """Judge the claims of a section, or all.

    Claims about one foundation model are judged for that of the paper's family (DINO), or the first that was measured.
    The records are of one profile, beside those counted on architectures; ``ValueError`` if several are mixed. Returns
    the verdicts by claim id, in the order of the ledger.
    """
    return _judged(CLAIMS, records, section)


def check(records: Iterable[Record], section: str | None = None) -> dict[str, Verdict]:
    """:func:`judge` for our own checks."""
    return _judged(CHECKS, records, section)


def judge_by_vfm(records: Iterable[Record], section: str) -> dict[str, dict[str, Verdict]]:
    """Judge the claims about one foundation model for each that was measured, that of the paper's family first.

    Claims about no model or about several together are left out.
    """
    records = list(records)
    frame = table(records)
    names = vfms_in(frame[frame["section"] == section])
    about_one = {name: claim for name, claim in CLAIMS.items() if claim.by_vfm}
    return {vfm: _judged(about_one, records, section, vfm) for vfm in names}


def _judged(
    claims: Mapping[str, Claim], records: Iterable[Record], section: str | None, vfm: str | None = None
) -> dict[str, Verdict]:
    frame = table(records)
    profiles = sorted(set(frame["profile"]) - {"architecture"})
    if len(profiles) > 1:
        raise ValueError(f"a claim is judged on one profile at a time, got records of {', '.join(profiles)}")
    return {claim.id: claim.judge(frame, vfm) for claim in claims.values() if section in (None, claim.section)}
