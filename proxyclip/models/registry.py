"""The foundation models as data, one row for each name that ``pc.load(vfm=...)`` takes, and those of users."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from inspect import getclosurevars, isfunction
from pathlib import Path
from typing import Any, Literal

from torch import nn

from proxyclip.models.addresses import ADDRESSES
from proxyclip.system.own_files import shipped

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class VFMSpec:
    """One row of the registry."""

    family: str  #: Name of the family in figures and tables ("DINO", "SAM", ...).
    model: str  #: timm architecture with pretrained tag, a repository of diffusers, or the name of a tiny model.
    #: The normalised patch tokens of the last layer, the output of SAM's convolutional neck, the activations of a block
    #: of a U-Net, or the map (B, C, rows, columns) that a registered model returns.
    feature: Literal["tokens", "neck", "diffusion", "map"] = "tokens"
    #: Mode of :func:`proxyclip.models.positions.resize_positions`; None if the model resizes none (rotary, SAM).
    position: str | None = None
    #: Side in pixels to which every window is resized first; ``"crop"`` is that of the sliding window, and None leaves
    #: the window as it is.
    input_size: int | Literal["crop"] | None = None
    #: Normalisation of pixels in 0..1.
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    source: Literal["timm", "tiny", "diffusers", "own"] = "timm"  #: ``"own"`` for models that a user has registered.


#: Begins the name of a Stable Diffusion that is none of the table: a repository of the hub, or a folder.
ANY_DIFFUSION = "sd:"

_REPOSITORIES = {name: address.url for name, address in ADDRESSES.items()}

#: Every vision foundation model by the name that ``pc.load(vfm=...)`` takes, read from ``registry.toml``.
VFMS: dict[str, VFMSpec] = {
    name: dataclasses.replace(spec, model=spec.model.format_map(_REPOSITORIES))
    for name, spec in shipped(Path(__file__).with_suffix(".toml"), dict[str, dict[str, VFMSpec]])["vfm"].items()
}

#: Group of entry points by which installed packages add models: a name, and a function that builds the module.
ENTRY_POINTS = "proxyclip.vfms"

#: The models that were registered, or the functions that build them.
_OWN: dict[str, nn.Module | Callable[[], nn.Module]] = {}


def register_vfm(
    name: str,
    model: nn.Module | Callable[[], nn.Module],
    *,
    family: str | None = None,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
    input_size: int | Literal["crop"] | None = None,
    replace: bool = False,
) -> ExitStack:
    """Add your own vision foundation model, so that ``pc.load(vfm=name)`` takes it.

    Parameters
    ----------
    name : str
        A name that is not taken yet, unless ``replace`` is given.
    model : nn.Module or callable
        Takes normalised windows (B, 3, h, w) and returns their features as a map (B, C, rows, columns) of any width
        and grid. Loading copies the module as it is then, so that its training can go on. A function without arguments
        that builds it, called whenever it is loaded, can be given instead, and has to be if a hook names the module.
    family : str, optional
        Name in figures and tables; ``name`` by default.
    mean, std : three floats
        Normalisation of pixels in 0..1; ImageNet's by default.
    input_size : int or "crop", optional
        Side in pixels to which every window is resized first, ``"crop"`` for that of the sliding window; by default
        windows are not resized.
    replace : bool
        Take the place of a model that was registered under the name before; the package's own models stay.

    Returns
    -------
    contextlib.ExitStack
        For use in a ``with`` statement, at whose end the registry is as it was before. Otherwise the model stays
        registered until :func:`unregister_vfm`.

    Raises
    ------
    ValueError
        If the name is taken or empty, or the model cannot be called.

    Notes
    -----
    An installed package does the same without a call: it declares ``name = "package.module:build"`` in the group
    ``proxyclip.vfms`` of its entry points. Results that are kept belong to the model's weights, its attributes and
    the source of its classes; after a change of functions that these call, remove them.

    Examples
    --------
    >>> import torch
    >>> import proxyclip as pc
    >>> class Colours(torch.nn.Module):
    ...     def forward(self, windows):  # (B, 3, h, w) -> (B, C, rows, columns)
    ...         return torch.nn.functional.avg_pool2d(windows, 4)
    >>> with pc.register_vfm("colours", Colours()):
    ...     model = pc.load("tiny", vfm="colours")
    >>> model.segment(torch.zeros(64, 64, 3, dtype=torch.uint8).numpy(), ["sky", "grass"]).labels.shape
    (64, 64)
    """
    if not isinstance(name, str) or not name or name != name.strip():
        raise ValueError(f"name must be a word by which the model is loaded, got {name!r}")
    before = VFMS.get(name), _OWN.get(name)
    if name in VFMS and not (replace and name in _OWN):
        advice = "replace=True takes its place" if name in _OWN else "it is one of the package's own models"
        raise ValueError(f"the name {name!r} is taken; {advice}")
    if not callable(model):
        raise ValueError(f"model must be a module, or a function that builds one, got {type(model).__name__}")
    _OWN[name] = model
    VFMS[name] = VFMSpec(family or name, name, "map", None, input_size, _three(mean), _three(std), source="own")
    scope = ExitStack()
    scope.callback(_restore, name, *before)
    return scope


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def unregister_vfm(name: str) -> None:
    """Remove a model that :func:`register_vfm` added; models that are loaded already stay as they are.

    Raises
    ------
    ValueError
        If no model was registered under the name.

    Examples
    --------
    >>> import torch
    >>> import proxyclip as pc
    >>> _ = pc.register_vfm("pooled", torch.nn.AvgPool2d(8))
    >>> pc.unregister_vfm("pooled")
    """
    if name not in _OWN:
        raise ValueError(f"no model was registered as {name!r}; registered are {', '.join(_OWN) or 'none'}")
    _restore(name, None, None)


def _restore(name: str, spec: VFMSpec | None, model: nn.Module | Callable[[], nn.Module] | None) -> None:
    VFMS.pop(name, None)
    _OWN.pop(name, None)
    if spec is not None and model is not None:
        VFMS[name], _OWN[name] = spec, model


def build_own(name: str) -> nn.Module:
    """A copy of the module that was registered under a name, or what the registered function builds, if it is one."""
    model = _OWN[name]
    built = _copied(model, name) if isinstance(model, nn.Module) else model()
    if not isinstance(built, nn.Module):
        raise ValueError(f"what was registered as {name!r} builds no torch.nn.Module but {type(built).__name__}")
    return built


def _copied(module: nn.Module, name: str) -> nn.Module:
    copies: dict[int, Any] = {}  # by the identity of what was copied
    try:
        copied = deepcopy(module, copies)
        held = [value for part in copied.modules() for value in vars(part).values()]
        held += [hook for value in held if isinstance(value, dict) for hook in value.values()]
        for function in filter(isfunction, held):  # which are not copied, nor what they refer to
            if not copies.keys().isdisjoint(map(id, getclosurevars(function).nonlocals.values())):
                raise TypeError(f"{function.__qualname__} in it would use the original")
    except Exception as error:  # of any kind, from any part
        raise ValueError(f"{name} cannot be copied ({error}); register a function that builds it instead") from error
    return copied


#: Why some models that readers may look for are not in the registry, by a part of their name.
REFUSED = {
    "radio": "timm's Vision Transformers of RADIO resample its 128 x 128 positions once, to a fixed grid, so that "
             "windows of another size would give other features than RADIO's own; bring the authors' model with "
             "proxyclip.register_vfm",
}


def check_vfm_name(name: str) -> VFMSpec:
    """The registry's row, or a ValueError that lists what is allowed; ``"sd:REPOSITORY"`` is a row of its own."""
    if str(name).startswith(ANY_DIFFUSION) and len(name) > len(ANY_DIFFUSION):
        return dataclasses.replace(VFMS["sd15"], model=name.removeprefix(ANY_DIFFUSION))
    if name not in VFMS:  # a package that adds models is imported when one of them is loaded
        for entry in metadata.entry_points(group=ENTRY_POINTS):
            if entry.name not in VFMS:
                register_vfm(entry.name, partial(lambda found: found.load()(), entry))
    if name not in VFMS:
        refused = next((reason for part, reason in REFUSED.items() if part in str(name).lower()), None)
        raise ValueError(f"unknown VFM {name!r}" + (
            f": {refused}" if refused else f"; allowed are {', '.join(sorted(VFMS))}, and {ANY_DIFFUSION}REPOSITORY or "
            f"{ANY_DIFFUSION}FOLDER for any other Stable Diffusion"))
    return VFMS[name]
