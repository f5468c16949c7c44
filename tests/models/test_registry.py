"""A user's own vision foundation model: registered by a call or by an installed package, refused with the reason."""

from importlib import metadata

import numpy as np
import pytest
import torch

import proxyclip as pc
from proxyclip.models import registry

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


class Pooled(torch.nn.Module):
    def __init__(self, side=8):
        super().__init__()
        self.side = side

    def forward(self, windows):
        return torch.nn.functional.avg_pool2d(windows, self.side)


class Brightest(Pooled):
    def forward(self, windows):
        return torch.nn.functional.max_pool2d(windows, self.side)


@pytest.fixture(autouse=True)
def unregister():
    """Remove what a test registers."""
    before = set(registry.VFMS)
    yield
    for name in set(registry.VFMS) - before:
        pc.unregister_vfm(name)


def test_a_registered_model_is_the_proxy_of_the_masking_rules_and_its_function_is_called_when_it_is_loaded():
    built = []
    pc.register_vfm("pooled", lambda: built.append(1) or Pooled(), family="Colours", mean=(0.5,) * 3, std=(0.5,) * 3)
    assert not built and registry.VFMS["pooled"].family == "Colours"
    model = pc.load(vfm="pooled")
    (embedding,) = model.embed(IMAGE, [pc.Adaptive()])
    assert built == [1] and embedding.windows.shape[-2:] == (8, 8)
    pixels = torch.rand(2, 3, 64, 64)
    assert torch.equal(model.vfm.features(model.vfm.normalize(pixels)), Pooled()(2 * pixels - 1))


def test_an_installed_package_brings_models_by_an_entry_point(monkeypatch):
    entry = metadata.EntryPoint("brought", f"{__name__}:Pooled", registry.ENTRY_POINTS)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == registry.ENTRY_POINTS else [])
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda self: Pooled)
    assert isinstance(pc.load(vfm="brought").vfm.backbone, Pooled)


@pytest.mark.parametrize(("name", "model", "sentence"), [
    ("dino_vitb8", Pooled(), "the name 'dino_vitb8' is taken"),
    ("", Pooled(), "name must be a word"),
    ("own", 3, "model must be a module, or a function that builds one, got int"),
])
def test_what_cannot_be_registered_is_refused(name, model, sentence):
    with pytest.raises(ValueError, match=sentence):
        pc.register_vfm(name, model)


def test_a_model_that_returns_no_map_is_named_with_what_it_returned():
    pc.register_vfm("flat", torch.nn.Flatten())
    with pytest.raises(ValueError, match=r"flat must return a tensor \(B, C, rows, columns\) for \d windows, got"):
        pc.load(vfm="flat").segment(IMAGE, ["sky", "grass"])
    pc.register_vfm("nothing", lambda: 5)
    with pytest.raises(ValueError, match="'nothing' builds no torch.nn.Module but int"):
        pc.load(vfm="nothing")
    with pytest.raises(ValueError, match="vfm_weights must be left out"):
        pc.load(vfm="flat", vfm_weights="random")


def test_a_registration_can_be_undone_replaced_and_limited_to_a_block():
    first, second = Pooled(), Pooled(16)
    with pc.register_vfm("own", first, family="First"):
        with pytest.raises(ValueError, match="'own' is taken; replace=True takes its place"):
            pc.register_vfm("own", second)
        with pc.register_vfm("own", second, replace=True):
            assert registry.build_own("own").side == 16 and registry.VFMS["own"].family == "own"
        assert registry.build_own("own").side == 8 and registry.VFMS["own"].family == "First"
    assert "own" not in registry.VFMS
    pc.register_vfm("own", first)
    pc.unregister_vfm("own")
    assert "own" not in registry.VFMS
    for name in ("own", "dino_vitb8"):
        with pytest.raises(ValueError, match=f"no model was registered as '{name}'"):
            pc.unregister_vfm(name)
    with pytest.raises(ValueError, match="one of the package's own models"):
        pc.register_vfm("dino_vitb8", first, replace=True)


def test_a_registered_module_is_left_to_its_training_and_to_other_models():
    module = torch.nn.Conv2d(3, 8, 8, 8)
    with pc.register_vfm("own", module):
        first, second = pc.load("tiny", vfm="own"), pc.load("tiny", vfm="own")
    second.vfm.half()
    assert module.training and module.weight.requires_grad and not first.vfm.backbone.weight.requires_grad
    assert torch.equal(first.vfm.backbone.weight, module.weight)


class Hooked(torch.nn.Module):
    """Gives what a hook has kept of its convolution."""

    def __init__(self, hook):
        super().__init__()
        self.net, self.kept = torch.nn.Conv2d(3, 8, 8, 8), {}
        self.net.register_forward_hook(self.keep if hook is None else hook(self))

    def keep(self, module, inputs, output):
        self.kept["last"] = output

    def forward(self, windows):
        self.net(windows)
        return self.kept["last"]


def test_a_module_whose_copy_would_use_the_original_is_refused_and_a_function_builds_it():
    def by_name(module):
        return lambda part, inputs, output: module.keep(part, inputs, output)

    with pc.register_vfm("own", Hooked(by_name)), pytest.raises(ValueError, match="would use the original.; register"):
        pc.load("tiny", vfm="own")
    used = Hooked(None)
    used(torch.zeros(1, 3, 64, 64))  # what it has kept is part of a graph
    with pc.register_vfm("own", used), pytest.raises(ValueError, match="own cannot be copied .*; register a function"):
        pc.load("tiny", vfm="own")
    windows = torch.rand(2, 3, 64, 64)
    for model in (Hooked(None), lambda: Hooked(by_name)):
        with pc.register_vfm("own", model):
            vfm = pc.load("tiny", vfm="own").vfm
        assert torch.equal(vfm.features(windows), vfm.backbone.net(windows))
        assert not torch.equal(vfm.features(1 - windows), vfm.features(windows))


def test_kept_counts_are_those_of_the_model_that_has_the_name_now(tmp_path):
    models = [(Pooled(), {}), (Pooled(16), {}), (Brightest(), {}), (Pooled(), {"mean": (0, 0, 0)}), (Pooled(), {})]
    scores = []
    for module, how in models:
        with pc.register_vfm("own", module, **how):
            model = pc.load("tiny", vfm="own")
        (kept,), (measured,) = (pc.evaluate(model, "tiny/voc", limit=1, progress=folder)["miou"]
                                for folder in (tmp_path / "kept", None))
        scores.append(kept)
        assert kept == measured
    assert len(set(scores)) == 4 and len(list((tmp_path / "kept").glob("*/settings.json"))) == 4


def test_radio_is_refused_with_the_reason_and_can_be_registered_as_ones_own_model():
    with pytest.raises(ValueError, match=r"unknown VFM 'radio_vitb16': timm's Vision .* proxyclip.register_vfm"):
        pc.load(vfm="radio_vitb16")
    pc.register_vfm("radio_of_mine", Pooled())
    assert pc.load("tiny", vfm="radio_of_mine").vfm.name == "radio_of_mine"
