"""Names that tell foundation models apart, only where they have to."""

import pandas as pd
import pytest

from proxyclip.supplement import records as results
from proxyclip.supplement.claims.claim import pivot
from proxyclip.supplement.display_names import proxies_apart
from proxyclip.supplement.records import Record


def table(adaptive: dict[str, float], identity: dict[str, float]) -> pd.DataFrame:
    """One set under the default rule and the control, a value for each foundation model."""
    return results.table([
        Record("E", "tiny", "miou", value, "%", "tiny/voc", vfm, rule, method, seed=0, error=3.0)
        for rule, method, values in (("adaptive:1.2,3", "ProxyCLIP", adaptive), ("identity", "identity", identity))
        for vfm, value in values.items()])


def test_a_method_that_reads_two_models_is_named_after_each() -> None:
    found = proxies_apart(table({"tiny_dino": 60.0, "tiny_sam": 66.0}, {}))
    assert found.set_index("method")["value"].to_dict() == {"ProxyCLIP (DINO)": 60.0, "ProxyCLIP (SAM)": 66.0}


def test_one_measurement_beside_two_models_is_counted_once() -> None:
    found = proxies_apart(table({}, {"tiny_dino": 45.0, "tiny_sam": 45.0}))
    assert found["method"].tolist() == ["identity"]
    errors = pivot(found, "dataset", "method", "error")
    assert errors.loc["tiny/voc", "identity"] == pytest.approx(3.0), "not 3 / sqrt 2"


def test_a_control_that_differs_between_grids_is_named_after_each_model() -> None:
    found = proxies_apart(table({}, {"tiny_dino": 45.0, "tiny_sam": 46.0}))
    assert sorted(found["method"]) == ["identity (DINO)", "identity (SAM)"]


def test_one_model_needs_no_name() -> None:
    assert set(proxies_apart(table({"tiny_sam": 66.0}, {"tiny_sam": 45.0}))["method"]) == {"ProxyCLIP", "identity"}
