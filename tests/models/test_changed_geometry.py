"""A changed geometry has the cosines of its formula, is part of what is saved, and refuses what is no geometry."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import proxyclip as pc
from proxyclip.evaluation.evaluator import under_protocol
from proxyclip.evaluation.result import settings_of
from proxyclip.models.changed_geometry import changed_similarity

GEOMETRIES = [(0.5, 0.0), (0.0, 0.3), (0.15, 0.3), (0.7, 0.2999)]


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return pc.load(vfm="tiny_dino")


def cosines(model: pc.ProxyCLIP) -> np.ndarray:
    """Of the patches of one window of a scene, in float64 and by the definition."""
    window = next(model.windows(np.array(pc.dataset("tiny/stuff")[0].image), batch=1))
    rows = window.vfm_features()[0].flatten(1).T.double().numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


@pytest.mark.parametrize(("base", "individual"), GEOMETRIES)
def test_the_cosines_of_a_real_window_are_those_of_the_formula(
    model: pc.ProxyCLIP, base: float, individual: float
) -> None:
    before = cosines(model)
    after = cosines(replace(model, vfm=pc.with_geometry(model.vfm, base=base, individual=individual)))
    expected = (1 - base - individual) * before + base
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(after, expected, atol=1e-6)
    np.testing.assert_allclose(changed_similarity(torch.tensor(before), base, individual), expected, atol=1e-12)


def test_a_base_is_taken_away_by_its_inverse(model: pc.ProxyCLIP) -> None:
    before = torch.tensor(cosines(model))
    raised = changed_similarity(before, base=0.6)
    torch.testing.assert_close(changed_similarity(raised, base=-0.6), before)
    with pytest.raises(ValueError, match="base must lie between -1 and 1"):
        changed_similarity(before, base=-1.0)


def test_two_changes_are_one(model: pc.ProxyCLIP) -> None:
    twice = pc.with_geometry(pc.with_geometry(model.vfm, base=0.2, individual=0.1), base=0.3, individual=0.2)
    once = pc.with_geometry(model.vfm, base=0.5 * 0.2 + 0.3, individual=0.5 * 0.1 + 0.2)
    assert twice.name == once.name == "tiny_dino (base 0.4, individual part 0.25)"
    np.testing.assert_allclose(cosines(replace(model, vfm=twice)), cosines(replace(model, vfm=once)), atol=1e-6)


def test_an_evaluation_knows_the_geometry_and_the_weights_stay_the_same(model: pc.ProxyCLIP) -> None:
    """Counts of one geometry are never continued with those of another."""
    data = pc.dataset("tiny/street")  # windows of the protocol are given to a copy of the model
    described = []
    for individual in (0.3, 0.30004):
        changed = replace(model, vfm=pc.with_geometry(model.vfm, base=0.1, individual=individual))
        described.append(settings_of(under_protocol(changed, data), data, [pc.Adaptive()], "stop"))
    plain = settings_of(under_protocol(model, data), data, [pc.Adaptive()], "stop")
    assert described[0]["vfm"]["individual"] == 0.3 and described[0] != described[1]
    assert described[0]["vfm"]["weights"] == plain["vfm"]["weights"] and "base" not in plain["vfm"]


@pytest.mark.parametrize(("base", "individual", "sentence"), [
    (-0.1, 0.0, "base must be a number from 0 to below 1, got -0.1"),
    (0.0, 1.0, "individual must be a number from 0 to below 1, got 1.0"),
    (0.7, 0.3, r"base \+ individual must be below 1, got 0.7 \+ 0.3"),
    (float("nan"), 0.0, "base must be a number"), (True, 0.0, "base must be a number"), ("a", 0.0, "base must be a"),
])
def test_what_is_no_geometry_is_refused(model: pc.ProxyCLIP, base: float, individual: float, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        pc.with_geometry(model.vfm, base=base, individual=individual)
