"""Parameters of the chapters: read as papermill passes them, checked at once, refused in one sentence.

papermill passes a list that was given with ``-p betas "[1.0, 1.2]"`` on as a string, which is read here as YAML. A
value that is not allowed stops the notebook with one sentence: the parameter, the value and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from proxyclip.data.benchmarks import BENCHMARKS, benchmark_row
from proxyclip.data.folders import find
from proxyclip.data.samples import DataError
from proxyclip.loading import PROFILES, TINY_CLIP
from proxyclip.models.registry import ANY_DIFFUSION, VFMS
from proxyclip.rules import Adaptive, ClipAttention, HardMask
from proxyclip.rules.parsing import parse_rule
from proxyclip.supplement.defaults import CHAPTER_SETS, VFMS_OF
from proxyclip.supplement.typed_values import from_yaml
from proxyclip.system.devices import DTYPES, check_device, check_dtype

#: Chapters that show several vision foundation models side by side; the others take one.
SEVERAL_VFMS = ("B", "C", "D", "E", "F", "G", "H")

#: Patch of CLIP and of the coarser DINO, whose speed chapter C measures.
PATCH = 16

#: Largest seed of a chapter; it is added to the test seed of a generated set.
LARGEST_SEED = 999

#: Most seeds of scenes that a chapter runs.
MOST_SEEDS = 16

#: Most images of a set: more than any set has, and as many as the generated world could draw.
MOST_IMAGES = 1_000_000

#: The parameters that every chapter has, with the value of those that are None or not given.
USUAL = {"device": "cpu", "limit": None, "seed": 0, "seeds": 1, "output_dir": Path("runs"), "vfm": None,
         "datasets": None, "clip": None, "clip_weights": None, "vfm_weights": None, "dtype": "float32", "data": None,
         "batch": None}


class ChapterError(ValueError):
    """A chapter cannot go on; a notebook shows the one sentence instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ParameterError(ChapterError):
    """A value is not allowed; ``problem`` is such as ``"beta must be a positive number, got -1"``."""

    def __init__(self, problem: str, parameter: str, section: str) -> None:
        super().__init__(f'{problem} (parameter "{parameter}" of chapter {section})')


def validate(section: str, profile: Any, **values: Any) -> dict[str, Any]:
    """Check the parameters of the chapter with a letter.

    None leaves the choice to the profile, except for ``limit``, where it means all. Returns the values by name, with
    those that every chapter has, in the types that the chapter works with: lists are tuples, attentions are rules,
    ``vfm`` and ``datasets`` are those of the chapter where they were None, and ``vfm_weights`` is a mapping.
    :class:`ParameterError` for the first that is not allowed.
    """
    checked: dict[str, Any] = dict(USUAL)
    checks = {"profile": lambda value, _: _one_of(value, PROFILES, "profile"), **CHECKS}
    for name, value in {"profile": profile, **values}.items():
        if name not in checks:
            raise ParameterError(f"there is no such parameter; there are {', '.join(checks)}", name, section)
        if value is None and name != "profile":
            checked.setdefault(name)
            continue
        try:
            checked[name] = checks[name](value, checked.get("profile"))
        except ValueError as error:
            raise ParameterError(str(error), name, section) from None
    profile = checked["profile"]
    checked["vfm"] = checked["vfm"] or VFMS_OF[profile].get(section, (PROFILES[profile].vfm,))
    checked["datasets"] = checked["datasets"] or CHAPTER_SETS[profile][section]
    if len(checked["vfm"]) > 1 and section not in SEVERAL_VFMS:
        raise ParameterError(f"vfm must be a single name, got {', '.join(checked['vfm'])}", "vfm", section)
    try:
        check_dtype(checked["dtype"], checked["device"])
    except ValueError as error:
        raise ParameterError(f"{error}, got {checked['dtype']!r}", "dtype", section) from None
    checked["vfm_weights"] = _weights_of_each(checked["vfm_weights"], checked["vfm"], section)
    try:
        _check_own_sets(checked, section)
    except DataError as error:
        raise ParameterError(str(error), "datasets", section) from None
    return checked


def _weights_of_each(weights: str | Mapping[str, str] | None, vfms: Sequence[str], section: str) -> Mapping[str, str]:
    """The weights by model. One file holds one model: where several are compared, each needs a file of its own."""
    if isinstance(weights, str) and weights != "random" and len(vfms) > 1:
        raise ParameterError(f"vfm_weights must be a mapping such as {{{vfms[0]}: FILE}}, since this chapter compares "
                             f"{', '.join(vfms)}, got {weights!r}", "vfm_weights", section)
    return dict.fromkeys(vfms, weights) if isinstance(weights, str) else weights or {}


def as_list(value: Any) -> list[Any]:
    """A list as given: a list, ``"[1, 2]"``, ``"a, b"`` or a single value."""
    if isinstance(value, str):
        whole = value.lstrip().startswith(("[", "{"))
        value = from_yaml(value if whole else f"[{value}]", "a list such as [1.0, 1.2]")
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("the list is empty; give at least one value")
    if len({repr(item) for item in values}) < len(values):
        raise ValueError(f"a value occurs twice in {values}")
    return values


def _one_of(value: Any, allowed: Iterable[str], name: str, where: str = "") -> str:
    if value not in (allowed := list(allowed)):
        raise ValueError(f"{name} must be one of {', '.join(allowed)}{where}, got {value!r}")
    return value


def _whole(value: Any, name: str, lowest: int, highest: int | None = None) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest or (highest and value > highest):
        allowed = f"between {lowest} and {highest}" if highest else f"of at least {lowest}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {value!r}")
    return value


def _side(value: Any, profile: str) -> int:
    if _whole(value, "size", PATCH) % PATCH:
        raise ValueError(f"size must be a multiple of {PATCH}, the largest patch, got {value!r}")
    return value


def _output_dir(value: Any, profile: str) -> Path:
    if type(value) in (int, float):  # papermill has made a number of the name 2024
        value = str(value)
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        raise ValueError(f"output_dir must be the name of a folder, got {value!r}")
    if os.path.exists(value) and not os.path.isdir(value):
        raise ValueError(f"output_dir must be a folder, got the file {str(value)!r}")
    return Path(value)


def dataset_names(profile: str) -> list[str]:
    """Sets that a profile may open."""
    from proxyclip.tiny.world.sets import SETS

    return list(SETS) if profile == "tiny" else list(BENCHMARKS)


def _vfm(value: Any, profile: str) -> str:
    if profile == "paper" and str(value).startswith(ANY_DIFFUSION):
        return str(value)
    allowed = sorted(name for name, spec in VFMS.items()
                     if (spec.source == "tiny" or name.startswith("tiny_")) == (profile == "tiny"))
    return _one_of(value, allowed, "vfm", f" on profile {profile}")


def _dataset(value: Any, profile: str) -> str:
    if not isinstance(value, str) or "/" in value or benchmark_row(value) is not None:
        return _one_of(value, dataset_names(profile), "dataset", f" on profile {profile}")
    return value  # a set of the user's own, if there is one: _check_own_sets


def _check_own_sets(checked: dict[str, Any], section: str) -> None:
    """Sets of the user's own exist, and a folder of data is given on profile tiny for them only."""
    own = [name for name in checked["datasets"] if name not in dataset_names(checked["profile"])]
    for name in own:
        if find(name, checked["data"] or os.environ.get("PROXYCLIP_DATA")) is None:
            raise ParameterError(f"dataset must be one of {', '.join(dataset_names(checked['profile']))} on profile "
                                 f"{checked['profile']}, or a folder of your own below the parameter data, got "
                                 f"{name!r}", "datasets", section)
    if checked["profile"] == "tiny" and checked["data"] is not None and not own:
        raise ParameterError("data must be None on profile tiny, whose sets are generated, unless datasets names a set "
                             f"of your own, got {str(checked['data'])!r}", "data", section)


def _clip_attention(value: Any, profile: str) -> ClipAttention:
    if not isinstance(value, str) or not isinstance(rule := parse_rule(value), ClipAttention):
        raise ValueError(f"attention must be qk, qq or kk, optionally with /each or /dot, got {value!r}")
    return rule


def _clip(value: Any, profile: str) -> str:
    import open_clip

    allowed = (TINY_CLIP,) if profile == "tiny" else tuple(open_clip.list_models())
    if value not in allowed:
        some = TINY_CLIP if profile == "tiny" else "ViT-B-16-quickgelu, ViT-L-14-quickgelu, ViT-H-14 and other " \
                                                   "Vision Transformers of open_clip"
        raise ValueError(f"clip must be one of {some} on profile {profile}, got {value!r}")
    return value


def _weights(value: Any, name: str) -> str:
    """A file that exists, or a name: of published weights, or "random"."""
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise ValueError(f'{name} must be a file, a name of published weights or "random", got {value!r}')
    is_path = Path(value).suffix or Path(value).name != str(value)
    if is_path and not os.path.exists(os.path.expanduser(value)):
        raise ValueError(f"{name} must be a file that exists, got {str(value)!r}")
    return os.path.expanduser(value) if is_path else str(value)


def _vfm_weights(value: Any, profile: str) -> str | dict[str, str]:
    if isinstance(value, str) and value.lstrip().startswith("{"):  # as papermill hands a mapping over
        value = from_yaml(value, "a mapping such as {dino_vitb8: FILE}")
    if isinstance(value, Mapping):
        return {_vfm(name, profile): _weights(path, f"vfm_weights of {name}") for name, path in value.items()}
    if isinstance(value, str) and value != "random" and not os.path.exists(os.path.expanduser(value)):
        raise ValueError(f'vfm_weights must be a file or folder that exists, a mapping of them, or "random", '
                         f"got {value!r}")
    return _weights(value, "vfm_weights")


def _data(value: Any, profile: str) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"data must be the folder of the benchmarks, got a {type(value).__name__}; another cell "
                         "has assigned this name, so run the parameters cell again")
    if not os.path.isdir(os.path.expanduser(value)):  # unlike Path.is_dir, also for a name that no file can have
        raise ValueError(f"data must be a folder that exists, got {str(value)!r}")
    return Path(os.path.expanduser(value))


def _part(value: Any, profile: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1:
        raise ValueError(f"part must lie between 0 and 1, got {value!r}")
    return float(value)


def _each(check: Callable[[Any, str], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    return lambda value, profile: tuple(check(item, profile) for item in as_list(value))


#: How each parameter is checked: (value, profile) -> value, or a ValueError whose message names what is allowed.
CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "device": lambda value, profile: str(check_device(value)),
    "limit": lambda value, profile: _whole(value, "limit", 1, MOST_IMAGES),
    "seed": lambda value, profile: _whole(value, "seed", 0, LARGEST_SEED),
    "seeds": lambda value, profile: _whole(value, "seeds", 1, MOST_SEEDS),
    "output_dir": _output_dir,
    "clip": _clip,
    "clip_weights": lambda value, profile: _weights(value, "clip_weights"),
    "vfm": _each(_vfm),
    "vfm_weights": _vfm_weights,
    "dtype": lambda value, profile: _one_of(value, ("auto", *DTYPES), "dtype"),
    "data": _data,
    "batch": lambda value, profile: _whole(value, "batch", 1, 4096),
    "datasets": _each(_dataset),
    "betas": _each(lambda value, profile: float(Adaptive(beta=value).beta)),
    "gammas": _each(lambda value, profile: float(Adaptive(gamma=value).gamma)),
    "alphas": _each(lambda value, profile: float(HardMask(value).alpha)),
    "parts": _each(_part),
    "attentions": _each(_clip_attention),
    "size": _side,
    "sizes": _each(lambda value, profile: _whole(value, "a vocabulary size", 2)),
    "timesteps": _each(lambda value, profile: _whole(value, "a time step", 0, 999)),
    "images": _each(lambda value, profile: value if isinstance(value, str) else _whole(value, "image", 0)),
}
