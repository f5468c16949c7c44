"""Look at files and folders as people have them: links, hidden files, pipes, and names that no file can have."""

import os
from pathlib import Path


def is_file(path: str | Path) -> bool:
    """Whether there is a file at a path; a name that is too long or not allowed is none."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def checked_file(path: str | os.PathLike[str], what: str) -> Path:
    """The path of a file that can be opened and read to its end; ``what`` is its kind for the error: "image"."""
    path = Path(path)
    try:
        if path.is_file():
            return path
        if path.is_dir():
            raise ValueError(f"{path} is a folder, not a{'n' if what[0] in 'aeiou' else ''} {what}")
        if path.exists():
            raise ValueError(f"{path} is a pipe or a device; the {what} has to be a file")
    except OSError as error:
        name = str(path)
        shown = name if len(name) < 200 else f"{name[:80]}…{name[-40:]}"
        raise ValueError(f"{shown}: not a readable {what} ({error.strerror})") from None
    raise FileNotFoundError(f"no such {what}: {path}")


def files_below(folder: str | Path, ending: str, start: str = "") -> list[Path]:
    """All files in a folder and below it whose names end, and start, in a certain way, sorted.

    Folders that are symbolic links are followed. Hidden files are left out: macOS writes ``._NAME`` beside ``NAME``.
    """
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        found += [Path(place) / name for name in names
                  if name.endswith(ending) and name.startswith(start) and not name.startswith(".")]
    return sorted(found)


def user_cache() -> Path:
    """The folder ``PROXYCLIP_CACHE``, or ``proxyclip`` in the user's cache."""
    users = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PROXYCLIP_CACHE") or Path(users) / "proxyclip")
