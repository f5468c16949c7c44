"""Read an image and its ground truth from files, with errors that name the file and the reason."""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image


class DataError(ValueError):
    """A problem of a whole set; the message names the file or folder and what is expected there."""


class SampleError(DataError):
    """A problem of one sample.

    Parameters
    ----------
    path : Path
        The file that cannot be used.
    reason : str
        The reason, for the message.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


def read_text(path: str | Path, what: str) -> str:
    """Read a UTF-8 text file, or raise :class:`DataError`; ``what`` names its kind in the error."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable {what} ({error})") from error


def has_rotation(path: Path) -> bool:
    """Whether the EXIF data of an image ask a viewer to rotate it."""
    with Image.open(path) as picture:
        return picture.getexif().get(ExifTags.Base.Orientation, 1) != 1


def load_picture(path: Path, what: str = "image") -> Image.Image:
    """Read a picture as it is stored, or raise :class:`SampleError`.

    Unlike :func:`proxyclip.read_image` it never rotates: an image and its label file belong together as stored.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            picture.info.pop("exif", None)  # so that nothing later rotates the image either
            picture.getexif().clear()
            return picture
    except FileNotFoundError:
        raise SampleError(path, "missing") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise SampleError(path, f"not a readable {what} ({error})") from error


def stored_labels(path: Path) -> np.ndarray:
    """Stored values of a label file of one channel, or of palette indices, (H, W); a colour picture is refused."""
    picture = load_picture(path, "label map")
    if picture.mode not in ("P", "L") and not picture.mode.startswith("I"):
        raise SampleError(path, f"mode {picture.mode}; allowed is one channel of 8 or 16 bits, or a palette")
    return np.asarray(picture)


def read_labels(
    path: Path, classes: int, ignored: int, zero_ignored: bool, counted_void: int | None = None
) -> np.ndarray:
    """Read a label file and check its values.

    Parameters
    ----------
    path : Path
    classes : int
        Class ids run from 0 to ``classes - 1``.
    ignored : int
        Stored value of pixels that are not evaluated.
    zero_ignored : bool
        Whether 0 is not evaluated either and class ids are one below the stored value.
    counted_void : int, optional
        Stored value of pixels that belong to no class and are evaluated nevertheless.

    Returns
    -------
    (H, W) int32, -1 where not evaluated, ``classes`` where void is counted

    Raises
    ------
    SampleError
        When the file cannot be read, has several channels, or holds a value that is no class.
    """
    stored = stored_labels(path).astype(np.int32)
    first, last = (1, classes) if zero_ignored else (0, classes - 1)
    void = (stored == ignored) | (stored == 0) if zero_ignored else stored == ignored
    counted = np.zeros_like(void) if counted_void is None else stored == counted_void
    wrong = ~void & ~counted & ((stored < first) | (stored > last))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise SampleError(
            path,
            f"label {stored[row, column]} at row {row}, column {column} ({int(wrong.sum())} such pixels); "
            f"allowed are {first} to {last} and {ignored}",
        )
    labels = np.where(void, np.int32(-1), stored - first).astype(np.int32)
    labels[counted] = classes
    return labels
