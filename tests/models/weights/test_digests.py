"""Digests of published weights: those in names are checked, others are kept, and a change is said."""

import hashlib
import json
import warnings
from pathlib import Path

import huggingface_hub
import pytest
import torch

from proxyclip.models.weights import digests
from proxyclip.models.weights.clip_files import clip_source
from proxyclip.models.weights.digests import check_published, named_digest
from proxyclip.models.weights.hub import fetch

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(("address", "digest"), [
    (clip_source("ViT-B-16-quickgelu", "openai")[2],
     "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    ("https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth", "01ec64"),
    ("/home/me/.cache/torch/hub/checkpoints/vit_b_16-laion400m_e31-00efa78f.pt", "00efa78f"),
    (f"/hub/models--timm--vit/blobs/{SHA256}", SHA256),
    ("/hub/models--timm--vit/blobs/0123456789012345678901234567890123456789", ""),  # git's digest of a small file
    ("https://dl.fbaipublicfiles.com/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth", ""),
    ("https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth", ""),
])
def test_a_digest_is_read_from_the_names_that_hold_one(address, digest):
    assert named_digest(address) == digest


@pytest.mark.parametrize(("stored", "address"), [
    (f"checkpoints/sam_vit_b_{SHA256[:8]}.pth", f"sam_vit_b_{SHA256[:8]}.pth"),
    (f"checkpoints/vit-{SHA256[:8]}.pt", f"vit-{SHA256[:8]}.pt"),
    (".cache/clip/ViT-B-16.pt", f"clip/models/{SHA256}/ViT-B-16.pt"),
])
def test_a_file_in_a_cache_must_have_the_digest_in_its_name_or_address(stored, address, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    path = tmp_path / stored
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    source = ("timm/any", ["model.safetensors"], "any", "vfm_weights", f"https://elsewhere/{address}")
    assert fetch(*source) == (path, SHA256)
    path.write_bytes(CONTENT + b".")
    with pytest.raises(ValueError, match=rf"{path.name} is not what its name says: .* expected is {SHA256[:8]}"):
        fetch(*source)


def test_without_a_known_digest_that_of_the_first_use_is_kept_and_a_change_is_said(tmp_path, monkeypatch):
    kept = tmp_path / "cache" / "digests.json"
    monkeypatch.setattr(digests, "first_uses", lambda: kept)
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            assert check_published(path, "timm/any/model.safetensors") == SHA256
    assert json.loads(kept.read_text()) == {"timm/any/model.safetensors": SHA256}
    path.write_bytes(CONTENT + b".")
    for _ in range(2):  # until it is accepted
        with pytest.warns(UserWarning, match=f"timm/any/model.safetensors have changed .* was {SHA256}"):
            check_published(path, "timm/any/model.safetensors")
    kept.write_text("damaged")
    with pytest.warns(UserWarning, match=r"digests\.json cannot be used"):
        check_published(path, "timm/any/model.safetensors")
