"""CLIP's weights from the hubs or from files in upstream formats; weights that do not fit are refused."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model
from torch import Tensor

from proxyclip.models.clip import DenseCLIP
from proxyclip.models.weights.digests import sha256_of
from proxyclip.models.weights.formats import (
    State,
    abbreviate,
    block_count,
    load_strictly,
    read_state_dict,
)
from proxyclip.models.weights.hub import fetch
from proxyclip.models.weights.vfm_files import Weights
from proxyclip.rules.block import refuse_unreadable
from proxyclip.system.files import checked_file

#: Numbers beside the weights in OpenAI's archives, by which these archives are recognised.
OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")
CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def build_clip(architecture: str, weights: Weights | None) -> tuple[DenseCLIP, str | None]:
    """Build a CLIP of open_clip, such as ``"ViT-B-16-quickgelu"``, and load its weights; return it with their SHA-256.

    None takes the weights ``"openai"``, and ``"random"`` leaves the model untrained. A file is an OpenAI archive
    (TorchScript or a plain dictionary) or a checkpoint of open_clip; files do not store the normalisation that a model
    was trained with, so it is OpenAI's. Raises ``FileNotFoundError`` or ``ValueError`` if the weights are neither there
    nor at the hub, the architecture is unknown or cannot be read, or the weights do not fit, or were trained with
    another activation than the architecture computes.
    """
    if architecture not in open_clip.list_models():
        raise ValueError(f"unknown CLIP architecture {architecture!r}; allowed are open_clip's Vision Transformers, "
                         "for example ViT-B-16-quickgelu, ViT-L-14-quickgelu, ViT-H-14 (open_clip.list_models())")
    _refuse_unreadable(architecture)  # before anything is read or downloaded
    weights = "openai" if weights is None else weights
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    if weights == "random":
        model, sha256 = _untrained(architecture), None
    else:
        if os.path.exists(weights) and not os.path.isdir(weights):
            path = checked_file(weights, "checkpoint")
            sha256 = sha256_of(path)
        else:
            published = _published(architecture, weights)
            mean, std = published["mean"], published["std"]
            repository, names, url = clip_source(architecture, str(weights))
            path, sha256 = fetch(repository, names, f"{architecture} ({weights})", "clip_weights", url)
        state = _clip_state(path, architecture)
        model = _untrained(architecture)
        load_strictly(model, state, path, architecture)
    tokenizer, templates = open_clip.get_tokenizer(architecture), open_clip.OPENAI_IMAGENET_TEMPLATES
    return DenseCLIP(model, tokenizer, mean, std, templates, name=f"{architecture} ({weights})"), sha256


def clip_source(architecture: str, tag: str) -> tuple[str, tuple[str, ...], str]:
    """Where published weights come from: the hub repository, alternative files in it, and another URL or ""."""
    published = get_pretrained_cfg(architecture, tag)
    repository, _, name = published["hf_hub"].rpartition("/")
    return repository, (name,) if name else CLIP_FILES, published.get("url") or ""


def _untrained(architecture: str) -> open_clip.model.CLIP:
    config = open_clip.get_model_config(architecture)
    if reason := _other_towers(config):
        raise ValueError(f"{architecture} cannot be read densely: {reason}")
    return open_clip.model.CLIP(**config)


def _refuse_unreadable(architecture: str) -> None:
    with torch.device("meta"):
        refuse_unreadable(_untrained(architecture), architecture)


def _is_readable(architecture: str) -> bool:
    try:
        _refuse_unreadable(architecture)
    except ValueError:
        return False
    return True


def _other_towers(config: Mapping[str, Any]) -> str:
    """The reason why towers that are not open_clip's own cannot be read; empty for its own."""
    vision, text = config["vision_cfg"], config["text_cfg"]
    timm_model = str(vision.get("timm_model_name", ""))
    if vision.get("timm_pool") == "map" or vision.get("attentional_pool"):  # SigLIP, PE, CoCa
        return "its image embedding comes from a pooling head with attention, which gives a single patch no embedding"
    if timm_model.startswith("eva"):
        return ("its image tower is timm's EVA, whose blocks have rotary positions, a gated MLP and a normalisation "
                "inside the attention, while the rules read plain residual attention blocks")
    if timm_model:
        return f"its image tower is timm's {timm_model}, not open_clip's Vision Transformer"
    if "hf_model_name" in text:
        return f"its text tower is {text['hf_model_name']} of transformers, not open_clip's causal one"
    return "its text tower is not open_clip's causal one" if config.get("custom_text") else ""


def _published(architecture: str, tag: Weights) -> dict[str, Any]:
    """open_clip's entry for published weights, if they belong to this architecture."""
    tags = list_pretrained_tags_by_model(architecture)
    if str(tag) not in tags:
        if Path(tag).suffix or Path(tag).name != str(tag):
            raise FileNotFoundError(f"no such checkpoint: {tag} (clip_weights takes a file, \"random\", "
                                    f"or one of {abbreviate(tags, 20)})")
        raise ValueError(f"no published weights {str(tag)!r} for {architecture}; clip_weights takes a file, "
                         f"\"random\", or one of {abbreviate(tags, 20) or 'none'}")
    entry = get_pretrained_cfg(architecture, str(tag))
    _refuse_other_activation(architecture, bool(entry.get("quick_gelu")), f"the weights {str(tag)!r}")
    return entry


def _computes_quick_gelu(architecture: str) -> bool:
    return bool(open_clip.get_model_config(architecture).get("quick_gelu", False))


def _refuse_other_activation(architecture: str, quick_gelu: bool, what: str) -> None:
    """Models with QuickGELU and with GELU load each other's weights without an error, and lose several mIoU."""
    if _computes_quick_gelu(architecture) == quick_gelu:
        return
    trained, computed = ("QuickGELU", "GELU") if quick_gelu else ("GELU", "QuickGELU")
    plain = architecture.removesuffix("-quickgelu")
    other = f"{plain}-quickgelu" if quick_gelu else plain
    advice = f"use clip={other!r}" if other in open_clip.list_models() else "open_clip has no such architecture"
    raise ValueError(f"{what} were trained with {trained}, but {architecture} computes {computed}, which silently "
                     f"costs several mIoU; {advice}")


def _clip_state(path: Path, architecture: str) -> State:
    """The tensors of a CLIP file, checked for architecture and activation."""
    state, scripted = read_state_dict(path)
    if "visual.conv1.weight" not in state:
        raise ValueError(f"{path} holds no CLIP of OpenAI's or open_clip's kind (there is no visual.conv1.weight)")
    norm = state.get("visual.ln_pre.weight")  # OpenAI's matrices are in half precision, normalisation in single
    mixed = norm is not None and (norm.dtype, state["visual.conv1.weight"].dtype) == (torch.float32, torch.float16)
    is_openai = scripted or mixed or any(key in state for key in OPENAI_NUMBERS)
    state = {key: value for key, value in state.items() if key not in OPENAI_NUMBERS}
    found, expected = _clip_shape(state), _configured_shape(architecture)
    if found != expected:
        # OpenAI's weights need QuickGELU; of others no file says with which activation they were trained
        names = [name for name in open_clip.list_models() if _configured_shape(name) == found and _is_readable(name)
                 and (_computes_quick_gelu(name) or not is_openai)]
        differing = ", ".join(f"{key} {found[key]} instead of {expected[key]}"
                              for key in expected if found[key] != expected[key])
        holds = abbreviate(sorted(names, key=len), 8) or "another architecture"
        raise ValueError(f"{path} holds weights of {holds}, not of {architecture}: {differing}")
    if is_openai:
        _refuse_other_activation(architecture, True, f"{path} holds OpenAI weights, which")
    if "logit_scale" in state:
        state["logit_scale"] = state["logit_scale"].reshape(())  # files store this number with and without a dimension
    return state


def _clip_shape(state: Mapping[str, Tensor]) -> dict[str, int | None]:
    def side(key: str, dim: int) -> int | None:
        return state[key].shape[dim] if key in state and state[key].ndim > dim else None

    tokens = side("visual.positional_embedding", 0)
    return {
        "width": side("visual.conv1.weight", 0),
        "layers": block_count(state, r"visual\.transformer\.resblocks\."),
        "patch": side("visual.conv1.weight", 2),
        "grid": None if tokens is None else round((tokens - 1) ** 0.5),
        "embedding": side("text_projection", 1),
        "text width": side("ln_final.weight", 0),
        "text layers": block_count(state, r"transformer\.resblocks\."),
    }


def _configured_shape(architecture: str) -> dict[str, int | None]:
    config = open_clip.get_model_config(architecture)
    vision, text = config["vision_cfg"], config["text_cfg"]
    size, patch = vision.get("image_size", 224), vision.get("patch_size", 16)
    plain = isinstance(size, int) and isinstance(patch, int)
    return {
        "width": vision.get("width", 768),
        "layers": vision.get("layers", 12),
        "patch": patch,
        "grid": size // patch if plain else None,
        "embedding": config["embed_dim"],
        "text width": text.get("width", 512),
        "text layers": text.get("layers", 12),
    }
