"""What is concluded from the scores of the tiny world, on invented scores."""

import numpy as np
import pandas as pd
import pytest

from proxyclip.rules import Adaptive, HardMask
from training.measures import findings

SETS = ("tiny/voc", "tiny/context")


def frame(scores: dict[tuple[str, str, str], float], seeds: dict[int, float]) -> pd.DataFrame:
    """Scores by (set, proxy, rule), each seed shifted by its own offset."""
    rows = [(*key[:1], seed, *key[1:], value + shift) for key, value in scores.items() for seed, shift in seeds.items()]
    return pd.DataFrame(rows, columns=["set", "seed", "proxy", "rule", "miou"])


@pytest.fixture
def study() -> pd.DataFrame:
    scores = {}
    for name in SETS:
        for beta in (1.0, 1.2, 1.6):
            for gamma in (2.0, 3.0):
                scores[name, "tiny_sam", Adaptive(beta, gamma).name] = 60 - abs(beta - 1.2) - (3 - gamma)
                scores[name, "tiny_mae", Adaptive(beta, gamma).name] = 40 - 5 * (beta - 1) - (name == "tiny/voc") * 3
        for alpha in (0.2, 0.5):
            scores[name, "tiny_sam", HardMask(alpha).name] = 59 + alpha
            scores[name, "tiny_mae", HardMask(alpha).name] = 42 - 2 * alpha
    return frame(scores, {1: -1.0, 2: 1.0})


@pytest.fixture
def scores() -> pd.DataFrame:
    values = {("", "vanilla"): 10, ("", "qk"): 20, ("", "qq"): 30, ("", "kk"): 32, ("", "maskclip"): 25}
    default = {"tiny_sam": 50, "tiny_mae": 33, "tiny_dino": 41, "tiny_dino8": 29, "tiny_dinov2": 44, "tiny_sd": 30,
               "oracle": 70, "colours": 31, "untrained": 28}
    values |= {(name, findings.DEFAULT_RULE): value for name, value in default.items()}
    values |= {(name, findings.IDENTITY): 27 for name in default} | {("tiny_dino", findings.IDENTITY): 36}
    table = {(name, *key): value for name in SETS for key, value in values.items()}
    table["tiny/context", "", "qk"] = 8
    return frame(table, {1: -2.0, 2: 2.0})


def test_the_gap_of_a_plateau_is_from_the_best_point_to_the_worst(study):
    found = findings.plateau(study).set_index(["proxy", "set"])
    row = found.loc["tiny_sam", "tiny/voc"]
    assert (row.beta, row.gamma, row.best_beta, row.best_gamma) == (1.6, 2.0, 1.2, 3.0)
    assert row.gap == pytest.approx(1.4) and row.best == pytest.approx(60)
    assert found.loc["tiny_mae", "tiny/context"].gap == pytest.approx(3)


def test_the_adaptive_rule_is_compared_with_the_best_alpha_of_each_vfm(study):
    found = findings.hard_masks(study)
    assert found["alpha"].to_dict() == {"tiny_mae": 0.2, "tiny_sam": 0.5}
    assert found.loc["tiny_sam", "difference"] == pytest.approx(60 - 59.5)
    assert found.loc["tiny_mae", "difference"] == pytest.approx((39 - 1.5) - 41.6)
    np.testing.assert_allclose(found["spread"], 0, atol=1e-9)  # every rule moves alike from seed to seed


def test_the_order_is_broken_where_any_step_goes_down(scores):
    found = findings.order(scores)
    assert found.loc["tiny/voc", "step"] == pytest.approx(9)
    assert found.loc["tiny/context", "step"] == pytest.approx(-2)
    assert found.loc["average", "step"] == pytest.approx(4)


def test_a_vfm_is_measured_against_the_best_control_identity_among_them(scores):
    found = findings.controls(scores)
    assert found["average"].to_dict() == pytest.approx(
        {"tiny_dino": 5, "tiny_dino8": -2, "tiny_dinov2": 13, "tiny_mae": 2, "tiny_sam": 19, "tiny_sd": -1}
    )
    assert findings.identities(scores).loc["tiny_dino", ["identity", "adaptive", "gain"]].tolist() == [36, 41, 5]
