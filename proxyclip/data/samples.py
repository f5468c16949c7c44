"""One image with its ground truth: reading both from files, and what is said when that fails."""

from pathlib import Path

import numpy as np
from PIL import Image


class DataError(ValueError):
    """Something is wrong with a set as a whole: the message names the place and what is expected there."""


class SampleError(DataError):
    """Something is wrong with one sample.

    Parameters
    ----------
    path : Path
        The file at fault.
    reason : str
        What is wrong with it.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


#: EXIF entry that asks a viewer to turn an image.
ORIENTATION = 0x0112


def has_rotation(path: Path) -> bool:
    """Whether a viewer would turn the image: its labels were drawn on the pixels as stored, or on the turned ones."""
    with Image.open(path) as picture:
        return picture.getexif().get(ORIENTATION, 1) != 1


def read_image(path: Path) -> Image.Image:
    """Read an image as RGB, or raise :class:`SampleError`.

    The pixels stay as they are stored, also where an EXIF entry asks to turn them: labels are stored the same way.
    """
    picture = _open(path, "image").convert("RGB")
    picture.info.pop("exif", None)  # nothing behind this turns the image either
    picture.getexif().clear()
    return picture


def _open(path: Path, what: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except FileNotFoundError:
        raise SampleError(path, "missing") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise SampleError(path, f"not a readable {what} ({error})") from error


def read_labels(path: Path, classes: int, ignored: int, zero_ignored: bool) -> np.ndarray:
    """Read a label file: one channel of 8 or 16 bits, or palette indices.

    Parameters
    ----------
    path : Path
    classes : int
        Class ids run from 0 to ``classes - 1``.
    ignored : int
        Stored value of pixels that are not evaluated.
    zero_ignored : bool
        Whether 0 is not evaluated either and class ids are one below the stored value.

    Returns
    -------
    (H, W) int32, -1 where not evaluated

    Raises
    ------
    SampleError
        When the file cannot be read, has several channels, or holds a value that is no class.
    """
    picture = _open(path, "label map")
    if picture.mode not in ("P", "L") and not picture.mode.startswith("I"):
        raise SampleError(path, f"mode {picture.mode}; allowed is one channel of 8 or 16 bits, or a palette")
    stored = np.asarray(picture).astype(np.int32)
    first, last = (1, classes) if zero_ignored else (0, classes - 1)
    void = (stored == ignored) | (stored == 0) if zero_ignored else stored == ignored
    wrong = ~void & ((stored < first) | (stored > last))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise SampleError(
            path,
            f"label {stored[row, column]} at row {row}, column {column} ({int(wrong.sum())} such pixels); "
            f"allowed are {first} to {last} and {ignored}",
        )
    return np.where(void, np.int32(-1), stored - first).astype(np.int32)
