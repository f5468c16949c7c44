"""Arrays as text are read back unchanged, in Python and in JavaScript."""

from pathlib import Path

import numpy as np
import pytest
from explorer_under_node import ask

from proxyclip.explorer.encoding import pack, significant, unpack


@pytest.mark.parametrize(("values", "step"), [
    *((np.random.default_rng(0).normal(size=(3, 4, 5)), step) for step in (1e-4, 0.01, 1.0)),
    (np.array([[-1, 0, 1, 127, -128], [300, -70_000, 1_000_000, -1_000_000, 2]]), 0.25), (np.zeros((0, 4)), 0.1),
])
def test_an_array_comes_back_to_half_a_step(values: np.ndarray, step: float) -> None:
    np.testing.assert_allclose(unpack(pack(values, step)), values, rtol=0, atol=step / 2 * (1 + 1e-9))


def test_javascript_reads_what_python_writes(tmp_path: Path) -> None:
    arrays = [np.array([-1, 0, 5, 300, -70_000, 1_000_000]), np.random.default_rng(1).integers(-200, 200, (7, 3))]
    answers = ask(tmp_path, [{"numbers": pack(array, 0.5)} for array in arrays])
    for array, answer in zip(arrays, answers, strict=True):
        np.testing.assert_allclose(answer, array.ravel(), atol=0.25)


@pytest.mark.parametrize(("values", "step", "said"), [
    ([1.0], 0.0, "step must be positive"), ([np.nan], 1.0, "not finite"), ([1e9], 1e-3, "too large"),
])
def test_what_cannot_be_written_is_refused(values: list[float], step: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pack(np.array(values), step)


def test_numbers_keep_their_significant_digits() -> None:
    assert significant(np.array([123456.789, 0.000123456789]), 4) == [123500.0, 0.0001235]
