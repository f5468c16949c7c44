"""Digests of the content of many files, kept from one call to the next as long as the files are untouched."""

import hashlib
import os
import stat
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from proxyclip.system.files import user_cache
from proxyclip.system.own_files import read_own, unsealed_json, write_json

#: Nanoseconds within which a file may change twice without another time stamp. Digests of younger files are not kept.
SETTLED = 2_000_000_000

#: What tells that a file is untouched, as in git's index: size, time of change, time of the inode's change, inode.
Stamp = list[int]


def digest_of_files(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 of the content of files in their order, hexadecimal; a missing file counts as one.

    The digests of single files are kept in the user's cache, in a file for the folder ``root`` of the set, so that only
    files that were touched are read again.
    """
    index = user_cache() / "digests" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"
    kept: dict[str, list] = read_own(index, lambda stored: unsealed_json(stored)["files"], "files are read again") or {}
    now = time.time_ns()
    stamps = {str(path): _stamp(path) for path in paths}
    new = [name for name, stamp in stamps.items() if stamp is not None and kept.get(name, [None])[0] != stamp]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as readers:  # hashing runs beside other threads
        digests = dict(zip(new, readers.map(_digest, new), strict=True))
    total = hashlib.sha256()
    for name, stamp in stamps.items():
        digest = "missing" if stamp is None else digests.get(name) or kept[name][1]
        total.update(f"{Path(name).name} {digest}\n".encode())
    settled = {name: [stamps[name], digest] for name, digest in digests.items()
               if all(moment < now - SETTLED for moment in (stamps[name] or [0])[1:3])}
    if settled:
        with suppress(OSError):  # a cache that cannot be written costs time only
            write_json(index, {"files": {**kept, **settled}})
    return total.hexdigest()


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _digest(name: str) -> str:
    try:
        with open(name, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:  # whoever reads the sample says what is wrong with the file
        return f"unreadable ({error.strerror})"
