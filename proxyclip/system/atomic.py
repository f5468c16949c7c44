"""Write a file completely or not at all."""

import errno
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path next to ``path``; rename it to ``path`` when the block ends without an error.

    A reader sees the old file or the new one, never a part: the bytes are on the disk before the rename, which is
    atomic within a file system. A symbolic link is not followed: the file takes its place, and a warning says so. The
    folder is created when missing, and the temporary path keeps the suffix, since image writers choose the format by
    it.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"cannot write {path}: it is a pipe or a device; name a file")
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=f".partial{path.suffix}", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        with _named(path):
            yield partial
        with open(partial, "rb") as stream:
            os.fsync(stream.fileno())
        mask = os.umask(0)  # mkstemp makes files for the owner only; a result gets the usual permissions
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        _say_if_link(path)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def without_link(path: Path) -> Path:
    """Remove a symbolic link where somebody else is going to open a file for writing, which would follow it."""
    if _say_if_link(path):
        path.unlink()
    return path


def _say_if_link(path: Path) -> bool:
    if found := path.is_symlink():
        warnings.warn(f"{path} was a symbolic link to {os.readlink(path)}; a file takes its place, and what it pointed "
                      "to stays as it is", stacklevel=4)
    return found


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an error of writing name the requested file instead of the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            error.filename = str(path)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file as :func:`replacing` does."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
