"""Checkpoint files: upstream formats load whole, everything else is refused in one sentence."""

import argparse
import hashlib
import json
import time

import huggingface_hub
import open_clip
import pytest
import synthetic_checkpoints as synthetic
import torch
from safetensors.torch import save_file
from timm import create_model
from timm.models.vision_transformer import VisionTransformer

import proxyclip as pc
from proxyclip.models.weights.clip_files import build_clip
from proxyclip.models.weights.digests import sha256_of
from proxyclip.models.weights.vfm_files import load_vfm_weights

SHAPE = dict(width=32, layers=2, patch=8, grid=4, text_width=32, text_layers=1, embed=16)
SMALL, SMALL_GELU = "small-quickgelu", "small"


@pytest.fixture(scope="module", autouse=True)
def architectures(tmp_path_factory):
    """Small CLIP architectures beside open_clip's own: with QuickGELU and with GELU."""
    folder = tmp_path_factory.mktemp("architectures")
    for name, extra in ((SMALL, {"quick_gelu": True}), (SMALL_GELU, {})):
        config = {
            "embed_dim": 16, **extra,
            "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
        }
        (folder / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(folder / f"{name}.json")
    yield
    for name in (SMALL, SMALL_GELU):
        open_clip.factory._MODEL_CONFIGS.pop(name)


@pytest.fixture(scope="module")
def weights():
    return synthetic.clip(**SHAPE)


def write(state, path, form):
    """Write the weights as one of the files that projects publish."""
    if form == "torchscript":
        return synthetic.write_torchscript(synthetic.openai(state, 32), path)
    if form == "safetensors":
        save_file(state, path)
        return path
    openai = synthetic.openai(state, 32)
    content = {
        "openai state dict": openai, "open_clip": state, "legacy": state,
        "openai without its numbers": {name: value for name, value in openai.items() if value.is_floating_point()},
        "training checkpoint": {"epoch": 3, "name": "run", "optimizer": {"state": {}},
                                "state_dict": {f"module.{name}": value for name, value in state.items()}},
    }
    torch.save(content[form], path, _use_new_zipfile_serialization=form != "legacy")
    return path


FORMS = ["torchscript", "openai state dict", "open_clip", "training checkpoint", "safetensors", "legacy"]


@pytest.mark.parametrize("form", FORMS)
def test_a_clip_checkpoint_is_recognised_by_content_and_loads_every_value(form, weights, tmp_path):
    path = write(weights, tmp_path / "weights.whatever", form)
    clip, sha256 = build_clip(SMALL, path)
    published = synthetic.openai(weights, 32) if form in ("torchscript", "openai state dict") else weights
    own = clip.model.state_dict()
    for name, value in own.items():
        assert torch.equal(value, published[name].float()), name
    assert set(own) == set(weights)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_digests_of_the_weights_are_in_the_provenance(weights, tmp_path):
    path = write(weights, tmp_path / "clip.pt", "open_clip")
    model = pc.load(clip=SMALL, clip_weights=path, vfm=None)
    assert model.provenance["clip_sha256"] == sha256_of(path)
    assert str(path) in model.provenance["clip"]


@pytest.mark.parametrize("form", ["torchscript", "openai state dict", "openai without its numbers"])
def test_openai_weights_are_refused_by_an_architecture_with_gelu(form, weights, tmp_path):
    path = write(weights, tmp_path / "clip.pt", form)
    with pytest.raises(ValueError, match="OpenAI weights, which were trained with QuickGELU.*clip='small-quickgelu'"):
        build_clip(SMALL_GELU, path)


def test_a_file_of_another_architecture_is_an_error_that_names_both(tmp_path):
    other = synthetic.clip(**{**SHAPE, "layers": 3, "embed": 24})
    path = write(other, tmp_path / "clip.pt", "openai state dict")
    with pytest.raises(ValueError, match="not of small-quickgelu: layers 3 instead of 2, embedding 24 instead of 16"):
        build_clip(SMALL, path)
    small = synthetic.clip(**SHAPE)
    path = write(small, tmp_path / "small.pt", "openai state dict")
    with pytest.raises(ValueError, match="holds weights of small-quickgelu, not of ViT-B-16-quickgelu: width 32"):
        build_clip("ViT-B-16-quickgelu", path)


@pytest.mark.parametrize(("held", "is_openai", "right", "wrong"), [
    ("ViT-L-14", True, "ViT-L-14-quickgelu,", "ViT-L-14,"),
    ("ViT-L-14", False, "ViT-L-14, ViT-L-14-quickgelu,", "CLIPA"),
    ("ViT-B-32", False, "ViT-B-32, ViT-B-32-quickgelu,", "roberta"),
])
def test_the_hint_for_another_clip_lists_what_the_package_reads(held, is_openai, right, wrong, tmp_path):
    with torch.device("meta"):
        state = open_clip.model.CLIP(**open_clip.get_model_config(held)).state_dict()
    state = {name: torch.zeros((), dtype=torch.float16).expand(value.shape) for name, value in state.items()}
    if is_openai:
        state["input_resolution"] = torch.tensor(224)
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(ValueError, match=rf"holds weights of {right} not of ViT-B-16-quickgelu") as caught:
        build_clip("ViT-B-16-quickgelu", tmp_path / "clip.pt")
    assert wrong not in str(caught.value)


def test_missing_and_unexpected_names_are_listed(weights, tmp_path):
    state = dict(weights)
    state["visual.surplus"] = state.pop("visual.ln_post.bias")
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(ValueError, match=r"missing visual\.ln_post\.bias; unexpected visual\.surplus"):
        build_clip(SMALL, tmp_path / "clip.pt")


def test_unknown_names_of_weights_list_the_known_ones():
    with pytest.raises(ValueError, match="no published weights 'opnai' for ViT-H-14.*laion2b_s32b_b79k"):
        pc.load(clip="ViT-H-14", clip_weights="opnai", vfm=None)
    with pytest.raises(FileNotFoundError, match="no such checkpoint: nowhere/clip.pt"):
        pc.load(clip="ViT-B-16-quickgelu", clip_weights="nowhere/clip.pt", vfm=None)


# -------------------------------------------------------------------------------------------- vision foundation models

VIT = dict(img_size=24, patch_size=4, embed_dim=16, depth=2, num_heads=2, num_classes=0)


def training_checkpoint(form, teacher, student):
    """What DINO and DINOv2 save while they train: a teacher and a student, each with heads beside its backbone."""
    heads = {"head.mlp.0.weight": torch.zeros(4, 16), "head.last_layer.weight_v": torch.zeros(8, 4)}
    heads_v2 = {f"{head}.mlp.0.weight": torch.zeros(4, 16) for head in ("dino_head", "ibot_head")}
    chunked = {name.replace("blocks.", "blocks.0."): value for name, value in teacher.items()}
    return {
        "dino": {"student": {f"module.backbone.{name}": value for name, value in student.items()},
                 "teacher": {f"backbone.{name}": value for name, value in teacher.items()} | heads,
                 "epoch": 100, "args": argparse.Namespace(arch="vit_small", lr=0.1)},
        "dinov2": {"teacher": {f"backbone.{name}": value for name, value in teacher.items()} | heads_v2},
        "dinov2 in chunks": {"teacher": {f"backbone.{name}": value for name, value in chunked.items()} | heads_v2},
        "flat": {f"student.backbone.{name}": value for name, value in student.items()}
                | {f"teacher.backbone.{name}": value for name, value in teacher.items()}
                | {f"teacher.{name}": value for name, value in heads_v2.items()} | {"dino_loss.center": torch.zeros(1)},
    }[form]


@pytest.mark.parametrize("form", ["dino", "dinov2", "dinov2 in chunks", "flat"])
def test_a_training_checkpoint_gives_the_teachers_backbone(form, tmp_path):
    teacher, student = synthetic.vit(16, 2, 4, 6, seed=1), synthetic.vit(16, 2, 4, 6, seed=2)
    torch.save(training_checkpoint(form, teacher, student), tmp_path / "full.pth")
    backbone = VisionTransformer(**VIT)
    load_vfm_weights(backbone, tmp_path / "full.pth", "dino_vits8")
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, teacher[name]), name
    with pytest.raises(ValueError, match="does not fit mae_vitb16: unexpected (head|dino_head)"):
        load_vfm_weights(backbone, tmp_path / "full.pth", "mae_vitb16")


def test_maes_encoder_with_its_decoder_is_not_taken_for_dinos_of_the_same_shape(tmp_path):
    encoder = synthetic.vit(16, 2, 4, 6)
    whole = encoder | {"mask_token": torch.ones(4), "decoder_pred.bias": torch.ones(4)}
    torch.save({"model": whole}, tmp_path / "m.pth")
    load_vfm_weights(VisionTransformer(**VIT), tmp_path / "m.pth", "mae_vitb16")
    with pytest.raises(ValueError, match="does not fit dino_vitb16: unexpected decoder_pred.bias"):
        load_vfm_weights(VisionTransformer(**VIT), tmp_path / "m.pth", "dino_vitb16")


@pytest.mark.parametrize(("change", "problem"), [
    (dict(depth=3), "unexpected blocks.2.norm1.weight"),
    (dict(width=24), "of another shape patch_embed.proj.weight"),
    (dict(patch=8), "of another shape patch_embed.proj.weight"),
    (dict(grid=7), "of another shape pos_embed"),
    (dict(registers=4, scaled=True), "the file seems to hold"),
])
def test_a_vfm_checkpoint_of_another_size_is_never_adapted(change, problem, tmp_path):
    torch.save(synthetic.vit(**{**dict(width=16, depth=2, patch=4, grid=6), **change}), tmp_path / "vit.pth")
    with pytest.raises(ValueError, match=f"does not fit dino_vits8.*{problem}"):
        load_vfm_weights(VisionTransformer(**VIT), tmp_path / "vit.pth", "dino_vits8")


def test_a_vit_s_given_as_a_vit_b_is_named(tmp_path):
    torch.save(create_model("vit_small_patch16_224.dino", num_classes=0).state_dict(), tmp_path / "dino.pth")
    with torch.device("meta"):
        backbone = create_model("vit_base_patch16_224.dino", num_classes=0)
    with pytest.raises(ValueError, match=r"dino_vits16 \(width 384, 12 blocks, patch 16\)"):
        load_vfm_weights(backbone, tmp_path / "dino.pth", "dino_vitb16")


def test_a_clip_given_as_a_vfm_is_named(weights, tmp_path):
    torch.save(weights, tmp_path / "clip.pt")
    with pytest.raises(ValueError, match="the file seems to hold a CLIP"):
        load_vfm_weights(VisionTransformer(**VIT), tmp_path / "clip.pt", "dino_vits8")


@pytest.mark.parametrize(("options", "file"), [
    (dict(clip="ViT-B-16-quickgelu", vfm=None), "open_clip_model.safetensors.*clip_weights=PATH"),
    (dict(clip="ViT-H-14", clip_weights="laion2b_s32b_b79k", vfm=None), "laion/CLIP-ViT-H-14.*clip_weights=PATH"),
])
def test_a_hub_out_of_reach_is_one_sentence_within_seconds(options, file, tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    begin = time.monotonic()
    with pytest.raises(FileNotFoundError, match=f"no weights for .*{file}") as caught:
        pc.load(**options)
    assert time.monotonic() - begin < 20 and "\n" not in str(caught.value)
