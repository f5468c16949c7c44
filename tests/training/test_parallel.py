"""Jobs in parallel processes."""

import pytest

from training.parallel import parallel_map


def _halve(number: int) -> float:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number / 2


def test_every_job_is_done_once_and_a_failure_is_not_swallowed():
    assert dict(parallel_map(_halve, [4, 6, 8], workers=1)) == {4: 2, 6: 3, 8: 4}
    with pytest.raises(ValueError, match="-1 is negative"):
        list(parallel_map(_halve, [4, -1], workers=1))
