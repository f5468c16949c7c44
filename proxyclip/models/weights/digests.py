"""SHA-256 of weights: compared with the digest in a file's name or address, and with that of the first use."""

import hashlib
import json
import re
import warnings
from pathlib import Path

from proxyclip.system.atomic import write_text
from proxyclip.system.files import user_cache

#: Where a digest, or its beginning, stands: a folder of OpenAI's addresses, the blobs in the cache of the Hugging Face
#: hub (only large files are stored under their SHA-256; others have 40 digits), and the end of names as torch.hub and
#: Segment Anything write them.
_IN_NAMES = re.compile(r"/([0-9a-f]{64})/[^/]+$|/blobs/([0-9a-f]{64})$|[-_]([0-9a-f]{6,64})\.\w+$")


def sha256_of(*paths: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits; of several, that of their digests in the given order."""
    digests = []
    for path in paths:
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def named_digest(address: str) -> str:
    """The digest, or its beginning, that a path or an address names; empty if it names none."""
    found = _IN_NAMES.search(address)
    return next(filter(None, found.groups())) if found else ""


def check_published(path: Path, source: str, elsewhere: str = "") -> str:
    """Return the SHA-256 of published weights in a cache, compared with what is known of them.

    ``source`` names the weights as ``repository/file``; ``elsewhere`` is another address at which they are published,
    which counts if the file has its name. Raises ``ValueError`` if the digest is not the one in the file's name or
    address. Warns if no digest is known, and the file is another one than when the weights were first used here.
    """
    sha256 = sha256_of(path)
    same_name = path.name == elsewhere.rpartition("/")[2]
    expected = named_digest(str(path.resolve())) or (named_digest(elsewhere) if same_name else "")
    if not sha256.startswith(expected):
        raise ValueError(f"{path} is not what its name says: its SHA-256 is {sha256}, expected is {expected}"
                         f"{'…' if len(expected) < 64 else ''}; delete the file and load it once more")
    if not expected:
        _compare_with_first_use(source if not same_name else elsewhere, sha256)
    return sha256


def first_uses() -> Path:
    """The file that keeps the digests of the first use."""
    return user_cache() / "digests.json"


def _compare_with_first_use(source: str, sha256: str) -> None:
    kept = first_uses()
    try:
        digests = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        known = source in digests
        first = digests.setdefault(source, sha256)
        if not known:
            write_text(kept, json.dumps(digests, indent=2) + "\n")
    except (OSError, ValueError, AttributeError) as error:
        warnings.warn(f"{kept} cannot be used ({error}), so that a change of {source} would not be seen", stacklevel=4)
        return
    if first != sha256:
        warnings.warn(f"the published weights {source} have changed since their first use here: their SHA-256 was "
                      f"{first} and is {sha256}, so that results with both are not comparable; delete the line in "
                      f"{kept} to accept the new ones", stacklevel=4)
