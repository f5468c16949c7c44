"""Arrays as text in a page: rounded to multiples of a step, zigzag, one plane for each byte, deflated, base64."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

Packed = dict[str, Any]


def pack(values: np.ndarray, step: float) -> Packed:
    """Write an array as text, rounded to multiples of a step: ``shape``, ``step`` and ``data`` for ``explorer.js``.

    The text is shortest where neighbours along the last axis are of similar size, since deflate adapts to them. Low and
    high bytes are stored in separate planes, because nearly all high bytes are zero. Raises ``ValueError`` if the step
    is not positive, or a value is not finite or needs more than 24 bits.
    """
    if not step > 0:
        raise ValueError(f"step must be positive, got {step}")
    levels = np.rint(np.asarray(values, np.float64) / step)
    if not np.isfinite(levels).all() or np.abs(levels).max(initial=0) >= 2**22:
        raise ValueError(f"values cannot be written as multiples of {step:g}: they are not finite or too large")
    signed = levels.astype(np.int32)
    zigzag = ((signed << 1) ^ (signed >> 31)).astype(np.uint32)
    largest = int(zigzag.max(initial=0))
    planes = [(zigzag >> shift).astype(np.uint8).tobytes() for shift in (0, 8, 16) if not shift or largest >> shift]
    # noise has few repetitions to find: Huffman codes in short blocks, which follow the sizes of the levels, save 4 %,
    # and a longer search than that of level 6 takes four times as long for 1 %
    deflate = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 6, zlib.Z_FILTERED)
    text = base64.b64encode(deflate.compress(b"".join(planes)) + deflate.flush()).decode("ascii")
    return {"shape": list(signed.shape), "step": step, "data": text}


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """The array that :func:`pack` wrote, float64."""
    shape = tuple(packed["shape"])
    content = zlib.decompress(base64.b64decode(packed["data"]))
    count = int(np.prod(shape, dtype=np.int64))
    planes = np.frombuffer(content, np.uint8).reshape(-1 if count else 1, count).astype(np.uint32)
    weights = 256 ** np.arange(len(planes), dtype=np.int64)
    zigzag = (planes * weights[:, None]).sum(axis=0)
    return ((zigzag >> 1) ^ -(zigzag & 1)).reshape(shape) * float(packed["step"])


def significant(values: np.ndarray, digits: int = 6) -> list[float]:
    """Numbers for JSON, rounded to this many significant digits."""
    return [float(f"{value:.{digits}g}") for value in np.asarray(values, np.float64).ravel()]
