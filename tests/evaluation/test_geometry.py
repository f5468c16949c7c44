"""What a mask leaves, counted in the matrix; and that parts of a set add up to the whole."""

import json

import numpy as np
import pytest
import torch
from small_model import small_model

import proxyclip as pc
from proxyclip.attention import BLOCK_ENTRIES
from proxyclip.evaluation.evaluator import run
from proxyclip.evaluation.geometry import Geometry

RULES = [pc.Adaptive(), pc.Adaptive(1.2, 8.0), pc.HardMask(0.3), pc.HardMask(0.9), pc.Identity(), pc.Vanilla()]


def features(seed: int, windows: int = 2) -> torch.Tensor:
    return torch.randn(windows, 6, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.3


def written_out(batches: list[torch.Tensor], threshold) -> tuple[float, float, float, float]:
    means, cuts, kept = [], [], []
    for window in torch.cat(batches).numpy():
        vectors = window.reshape(len(window), -1).T
        cosines = vectors @ vectors.T / np.outer(*[np.sqrt((vectors**2).sum(axis=1))] * 2)
        means.append(cosines.mean())
        cuts.append(threshold(means[-1]))
        kept.append(np.maximum((cosines >= cuts[-1]).mean(axis=1), 1 / len(cosines)))
    rows = np.concatenate(kept)
    return np.mean(means), np.mean(cuts), 100 * rows.mean(), 100 * (rows == 1 / len(cosines)).mean()


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [("adaptive:1.2,3", lambda mean: 1.2 * mean), ("hard:0.3", lambda mean: 0.3), ("hard:0.9", lambda mean: 0.9)])
@pytest.mark.parametrize("held", [50, 10**9])
def test_geometry_agrees_with_the_matrix_written_out_in_blocks_of_any_size(rule, threshold, held, monkeypatch):
    monkeypatch.setitem(BLOCK_ENTRIES, "cpu", held)
    batches, geometry = [features(0), features(1, 3)], Geometry()
    for batch in batches:
        geometry.update(batch, RULES)
    row = geometry.compute().set_index("rule").loc[rule]
    expected = written_out(batches, threshold)
    assert row[["mean_similarity", "threshold", "kept", "rows_alone"]].tolist() == pytest.approx(expected, abs=1e-9)
    assert row["windows"] == 5


def test_rules_of_one_threshold_have_one_geometry_and_the_identity_none():
    geometry = Geometry()
    geometry.update(features(0), RULES)
    frame = geometry.compute().set_index("rule")
    assert frame.index.tolist() == ["adaptive:1.2,3", "adaptive:1.2,8", "hard:0.3", "hard:0.9"]
    assert frame.loc["adaptive:1.2,3"].equals(frame.loc["adaptive:1.2,8"])


def test_a_threshold_above_every_cosine_leaves_each_patch_alone():
    alike = torch.ones(1, 6, 3, 3, dtype=torch.float64)
    alike[:, 0] += 0.1 * torch.arange(9.0).view(3, 3)
    geometry = Geometry()
    geometry.update(alike, [pc.Adaptive()])
    row = geometry.compute().iloc[0]
    assert row["mean_similarity"] > 1 / 1.2 and row["rows_alone"] == 100 and row["kept"] == pytest.approx(100 / 9)


def test_merged_parts_equal_the_whole_to_the_last_bit():
    whole, first, second = Geometry(), Geometry(), Geometry()
    for seed in range(6):
        whole.update(features(seed), RULES)
        (first if seed % 2 else second).update(features(seed), RULES)
    first.merge(second)
    assert first.compute().equals(whole.compute())


def test_an_evaluation_records_the_geometry_of_its_rules(tmp_path):
    result = run(small_model(), pc.dataset("tiny/voc", length=3), RULES)
    frame = result.geometry()
    assert len(frame) == 4
    assert result.frame().attrs["geometry"] == frame.to_dict("records")
    result.save(tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["geometry"] == frame.to_dict("records")
