"""Published weights from a cache or from their hub; if neither has them, one sentence says how to get them."""

from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from proxyclip.models.weights.digests import check_published

#: Seconds without an answer after which the hub counts as unreachable.
PATIENCE = 5.0


def fetch(repository: str, names: Sequence[str], model: str, option: str, elsewhere: str = "") -> tuple[Path, str]:
    """Find a file of a Hugging Face repository in a cache, or download it: its path and its SHA-256.

    ``names`` are alternative files, the preferred one first, and ``elsewhere`` is another URL at which the weights are
    published; the authors' own file is taken too if ``torch.hub`` or their package has stored it before. The hub is
    asked once whether it answers, so that a machine without a network fails within seconds: ``FileNotFoundError`` names
    the file, its source, the ``model`` and the ``option`` that takes a file instead. The digest is checked
    (:func:`proxyclip.models.weights.digests.check_published`).
    """
    path = stored(repository, names, elsewhere) or _download(repository, names, model, option, elsewhere)
    return path, check_published(path, f"{repository}/{path.name}", elsewhere)


def _download(repository: str, names: Sequence[str], model: str, option: str, elsewhere: str) -> Path:
    reason = "has no such file"
    for name in names:
        try:
            url = huggingface_hub.hf_hub_url(repository, name)
            huggingface_hub.get_hf_file_metadata(url, timeout=PATIENCE)
            return Path(huggingface_hub.hf_hub_download(repository, name))
        except EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):
                reason = _reason(error)
        except Exception as error:
            reason = _reason(error)
            break
    raise FileNotFoundError(_sentence(repository, names[0], model, option, reason, elsewhere))


def stored(repository: str, names: Sequence[str], elsewhere: str = "") -> Path | None:
    """Find a published file on this machine; None if :func:`fetch`, with the same arguments, would need the network."""
    for name in names:
        cached = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    for folder in (Path(torch.hub.get_dir()) / "checkpoints", Path.home() / ".cache" / "clip"):
        path = folder / elsewhere.rpartition("/")[2]
        if elsewhere and path.is_file():
            return path
    return None


def stored_folder(repository: str, names: Sequence[str]) -> Path | None:
    """Find a repository's folder in the cache, even if it is incomplete; see :func:`fetch_folder`."""
    try:
        return Path(huggingface_hub.snapshot_download(repository, allow_patterns=list(names), local_files_only=True))
    except (LocalEntryNotFoundError, OSError, ValueError):  # ValueError: it is no name of a repository
        return None


def fetch_folder(repository: str, names: Sequence[str], model: str, option: str) -> Path:
    """Download the files of a repository that fit some patterns, the first of which names one file, as :func:`fetch`.
    """
    try:
        huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, names[0]), timeout=PATIENCE)
        return Path(huggingface_hub.snapshot_download(repository, allow_patterns=list(names)))
    except Exception as error:
        sentence = _sentence(repository, "the diffusers folder", model, option, _reason(error), "")
        raise FileNotFoundError(sentence) from None


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "asks for a login or the acceptance of a licence"
    if status == 404:
        return "has no such repository"
    if status is not None:
        return f"answered with status {status}"
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"could not be stored ({error.strerror}: {error.filename})"
    return "cannot be reached"


def _sentence(repository: str, name: str, model: str, option: str, reason: str, elsewhere: str) -> str:
    also = f" (or {elsewhere})" if elsewhere else ""
    return (f"no weights for {model}: {name} of huggingface.co/{repository} is not in the cache and the hub {reason}; "
            f"download it{also} where there is a network and pass {option}=PATH")
