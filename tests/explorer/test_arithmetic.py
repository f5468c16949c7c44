"""explorer.js against PyTorch: rows, masks, weights, statistics, and the labels of the whole image."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from explorer_under_node import ask

import proxyclip as pc
from book.pages.explorer_pages import BUDGET, SCENES, VFMS, method_scenes
from proxyclip.attention import masked_softmax
from proxyclip.evaluation.metrics import Confusion
from proxyclip.explorer import export, sources
from proxyclip.inference.labels import labels_from_embedding
from proxyclip.inference.windows import Padding, axis_matrix, cut_windows
from proxyclip.loading import load_vfm
from proxyclip.models.changed_geometry import changed_similarity
from proxyclip.models.vfm import VFM
from proxyclip.rules.block import BlockView
from proxyclip.text import Classes

#: The rules that the explorer offers, as its state and as the package's rule.
ON_FEATURES: list[tuple[dict[str, Any], pc.Rule]] = [
    ({"rule": "adaptive", "beta": 1.2, "gamma": 3.0}, pc.Adaptive()),
    ({"rule": "adaptive", "beta": 0.8, "gamma": 8.0}, pc.Adaptive(0.8, 8.0)),
    ({"rule": "hard", "alpha": 0.4}, pc.HardMask(0.4)),
    ({"rule": "identity"}, pc.Identity()),
]
ON_CLIP = [({"rule": kind, "beta": 1.2, "gamma": 3.0}, pc.ClipAttention(kind)) for kind in ("qk", "qq", "kk")]
STATES = [state for state, _ in ON_FEATURES] + [state for state, _ in ON_CLIP]


@pytest.fixture(scope="module")
def vfms() -> dict[str, VFM]:
    return {name: load_vfm(name, crop=64) for name in VFMS}


@pytest.fixture(scope="module")
def model() -> pc.ProxyCLIP:
    return pc.load(vfm="tiny_sam")


def cosines(model: pc.ProxyCLIP, vfm: VFM, image: np.ndarray, window: int, rule: str) -> torch.Tensor:
    """Similarities of one window, in float64 and by the definition."""
    _, pixels, boxes, padding = model.prepare_windows(image)
    if rule in ("qk", "qq", "kk"):
        trunk = model.clip.trunk(cut_windows(model.clip.normalize(pixels), [boxes[window]], padding))
        block = BlockView(model.clip.model.visual.transformer.resblocks[-1], trunk.states[-1])
        first, second = (block.join_heads(block.patch_heads(letter))[0].double() for letter in rule)
    else:
        features = vfm.features(cut_windows(vfm.normalize(pixels), [boxes[window]], padding))
        first = second = features[0].flatten(1).T.double()
    norms = first.norm(dim=1)[:, None] * second.norm(dim=1)[None]
    return (first @ second.T / norms).detach()


@pytest.mark.parametrize(("name", "base", "individual"), [
    *((name, 0.0, 0.0) for name in VFMS), ("tiny_sam", 0.5, 0.0), ("tiny_sam", -0.4, 0.0), ("tiny_sam", 0.15, 0.3),
    ("tiny_sam", -0.3, 0.2),
])
def test_rows_masks_and_weights_equal_pytorchs(
    model: pc.ProxyCLIP, vfms: dict[str, VFM], name: str, base: float, individual: float, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With features rounded finely, so that it is the arithmetic that is compared; also of a changed geometry."""
    monkeypatch.setattr(export, "STEP", 5e-5)
    monkeypatch.setattr(sources, "CLIP_STEPS", dict.fromkeys(sources.CLIP_STEPS, 0.0005))
    image, window, patch = np.array(pc.dataset("tiny/context")[1].image)[:96, :96], 2, 21
    scene = export.export_scene(model, image, ["sky", "grass"], vfms=[vfms[name]])
    given = {"vfm": name, "window": window, "patch": patch, "base": base, "individual": individual}
    answers = ask(tmp_path, [{**state, **given} for state in STATES], scene)
    for state, answer in zip(STATES, answers, strict=True):
        similarity = cosines(model, vfms[name], image, window, state["rule"])
        if state["rule"] not in ("qk", "qq", "kk"):  # CLIP's own similarities stay as they are
            similarity = changed_similarity(similarity, base, individual)
        np.testing.assert_allclose(answer["cosines"], similarity[patch], atol=1e-3)
        sure = np.ones(len(similarity), bool)
        if state["rule"] == "identity":
            expected = torch.eye(len(similarity), dtype=torch.float64)
            assert answer["statistics"] == pytest.approx({"kept": 1 / len(similarity), "single": 1.0})
        else:
            hard = state["rule"] == "hard"
            scale, threshold = (1.0, state["alpha"]) if hard else (
                state["gamma"], state["beta"] * float(similarity.mean()))
            expected = masked_softmax(similarity, scale, threshold)
            kept = similarity >= threshold
            near = (similarity - threshold).abs() < 2e-3  # rounding may carry these across the threshold
            share = float(kept.double().mean())
            assert answer["statistics"]["kept"] == pytest.approx(share, abs=float(near.double().mean()) + 1e-9), state
            assert answer["statistics"]["single"] == pytest.approx(float((kept.sum(1) <= 1).double().mean()), abs=0.05)
            sure = ~near[patch].numpy()
        np.testing.assert_array_equal(np.array(answer["kept"], bool)[sure], (expected[patch] > 0).numpy()[sure])
        np.testing.assert_allclose(np.array(answer["weights"])[sure], expected[patch].numpy()[sure], atol=1e-3)
        assert sum(answer["histogram"]) == similarity.numel(), state


def labelled(
    model: pc.ProxyCLIP, image: np.ndarray, classes: Classes, cases: list[Any], threshold: float | None = None
) -> list[np.ndarray]:
    """What ``segment`` labels under the rule of each case, with one run of the networks for all."""
    embeddings = model.embed(image, [rule for _, rule in cases])
    return [labels_from_embedding(one, model.encode_classes(classes), threshold).numpy() for one in embeddings]


@pytest.fixture(scope="module")
def scenes() -> list[dict[str, Any]]:
    return method_scenes()


@pytest.mark.parametrize("number", range(len(SCENES)), ids=[name for name, _ in SCENES])
def test_labels_of_the_books_scenes_equal_those_of_segment(
    scenes: list[dict[str, Any]], number: int, model: pc.ProxyCLIP, vfms: dict[str, VFM], tmp_path: Path
) -> None:
    """For every rule and foundation model, with features as coarse as the page stores them; so is the mIoU."""
    name, width = SCENES[number]
    data = pc.dataset(name)
    sample = data[0]
    image, truth = np.array(sample.image)[:, :width], sample.labels[:, :width]
    threshold = data.protocol.prob_threshold
    cases = {vfm: [*ON_FEATURES, *(ON_CLIP if vfm == VFMS[0] else [])] for vfm in VFMS}
    asked = [{**state, "vfm": vfm, "labels": True} for vfm in VFMS for state, _ in cases[vfm]]
    every = [one for vfm in VFMS
             for one in labelled(replace(model, vfm=vfms[vfm]), image, data.vocabulary, cases[vfm], threshold)]
    for state, expected, answer in zip(asked, every, ask(tmp_path, asked, scenes[number]), strict=True):
        labels = np.array(answer["labels"]).reshape(expected.shape)
        agreement = (labels == expected).mean()
        assert agreement >= 0.995, f"{state}: {100 * agreement:.2f} % of the labels agree"
        confusion = Confusion(len(data.vocabulary))
        confusion.update(labels, truth)
        assert answer["miou"] == pytest.approx(confusion.compute().miou, abs=1e-6)


def test_a_scene_keeps_its_budget_and_says_how_far_it_is_rounded(scenes: list[dict[str, Any]]) -> None:
    for scene in scenes:
        assert len(json.dumps(scene, separators=(",", ":"))) <= BUDGET
        assert all(0 < source["error"] < 0.01 for source in scene["sources"])


@pytest.mark.parametrize(("height", "width", "short_side", "base", "individual"), [
    (50, 90, None, 0, 0), (100, 130, 72, 0, 0), (64, 64, None, 0, 0), (150, 97, 80, 0, 0), (128, 128, None, 0.4, 0.2),
])
def test_labels_of_images_of_any_size_and_of_a_changed_geometry_equal_those_of_segment(
    model: pc.ProxyCLIP, height: int, width: int, short_side: int | None, base: float, individual: float, tmp_path: Path
) -> None:
    """Padded windows, the last window moved back, images that are resized first."""
    image = np.array(pc.dataset("tiny/street")[2].image.resize((width, height)))
    classes, resized = ["sky; cloud", "grass", "road", "car"], replace(model, short_side=short_side)
    scene = export.export_scene(resized, image, classes, budget=None)
    cases = [*ON_FEATURES, *ON_CLIP[1:]]
    given = {"vfm": model.vfm.name, "labels": True, "base": base, "individual": individual}
    answers = ask(tmp_path, [{**state, **given} for state, _ in cases], scene)
    changed = replace(resized, vfm=pc.with_geometry(model.vfm, base=base, individual=individual))
    for expected, answer in zip(labelled(changed, image, classes, cases), answers, strict=True):
        assert (np.array(answer["labels"]).reshape(expected.shape) == expected).mean() >= 0.995


@pytest.mark.parametrize("arguments", [
    ((0, 32, 64), 64, 0, 0, 16, 128, 128), ((0, 12), 64, 0, 0, 16, 76, 100), ((0,), 50, 3, 3, 7, 50, 31),
])
def test_stitching_has_the_weights_of_the_package(arguments: tuple[Any, ...], tmp_path: Path) -> None:
    starts, *rest = arguments
    expected = axis_matrix(starts, *rest).numpy()
    (answer,) = ask(tmp_path, [{"axis": [list(starts), *rest]}])
    dense = np.zeros_like(expected)
    for row, (start, end) in enumerate(zip(answer["start"][:-1], answer["start"][1:], strict=True)):
        for at in range(start, end):
            dense[row, answer["index"][at]] += answer["weight"][at]
    np.testing.assert_allclose(dense, expected, atol=1e-6)


def test_weight_on_the_own_class_equals_a_loop_over_pixels(model: pc.ProxyCLIP, tmp_path: Path) -> None:
    sample = pc.dataset("tiny/context")[0]
    image, truth, window, patch = np.array(sample.image), sample.labels, 4, 9 * 16 + 9
    scene = export.export_scene(model, image, truth=truth)
    (answer,) = ask(tmp_path, [{**STATES[0], "vfm": model.vfm.name, "window": window, "patch": patch}], scene)
    _, _, boxes, padding = model.prepare_windows(image)
    assert padding == Padding(0, 0, 0, 0)
    part = truth[boxes[window].top : boxes[window].bottom, boxes[window].left : boxes[window].right]
    own = np.bincount(part[36:40, 36:40].ravel()).argmax()
    expected = sum(
        answer["weights"][16 * row + column] * (part[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] == own).mean()
        for row in range(16) for column in range(16)
    )
    assert answer["own"]["label"] == own
    assert answer["own"]["share"] == pytest.approx(expected, abs=1e-6)


def test_a_state_from_an_address_is_kept_within_bounds(model: pc.ProxyCLIP, tmp_path: Path) -> None:
    scene = export.export_scene(model, np.zeros((64, 64, 3), np.uint8), ["sky"])
    numbers = {"beta": 1.2, "gamma": 3, "alpha": 0.4, "x": 1, "y": 2}
    before = {"scene": 0, "vfm": model.vfm.name, "rule": "adaptive", **numbers}
    states = [{"rule": "qk", "beta": "1.5"}, {"rule": "nonsense", "beta": "99", "alpha": "x", "vfm": "none", "x": "-3"}]
    good, bad = ask(tmp_path, [{"checked": one, "before": before} for one in states], scene)
    assert good == {**before, "rule": "qk", "beta": 1.5}
    assert bad == {**before, "beta": 2, "x": 0}
    states = [{"base": "0.9", "individual": "0.3"}, {"base": "0.9"}]
    before |= {"base": 0, "individual": 0.2}
    both, base = ask(tmp_path, [{"checked": one, "before": before} for one in states], scene)
    assert (both["base"], both["individual"]) == (pytest.approx(0.65), 0.3)
    assert (base["base"], base["individual"]) == (0.9, pytest.approx(0.05))


def test_what_an_explorer_cannot_show_is_refused(model: pc.ProxyCLIP) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="at least one vision foundation model"):
        export.export_scene(replace(model, vfm=None), image, ["sky"])
    with pytest.raises(ValueError, match="ground truth has 5 x 4 pixels, its image 64 x 64"):
        export.export_scene(model, image, truth=np.zeros((4, 5), int))
    with pytest.raises(ValueError, match="does not fit into 100 characters"):
        export.export_scene(model, image, ["sky"], budget=100)
