"""Read an image and its ground truth from files, with errors that name the file and the reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.inference.images import load_picture, orientation, read_image, stored_levels
from proxyclip.system.files import checked_file, is_file


class DataError(ValueError):
    """A problem of a whole set; the message names the file or folder and what is expected there."""


class SampleError(DataError):
    """A problem of one sample: the file at ``path`` cannot be used, for the ``reason`` that the message gives."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = Path(path), reason


def read_text(path: str | Path, what: str) -> str:
    """Read a UTF-8 text file, or raise :class:`DataError`; ``what`` names its kind in the error."""
    try:
        content = checked_file(path, what).read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text (byte 0x{content[error.start]:02x}); save the {what} as "
                        "UTF-8") from error
    except FileNotFoundError:
        raise DataError(f"{path}: not a readable {what} (no such file)") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable {what} ({error})") from error


def listed_names(path: Path) -> list[tuple[int, str]]:
    """Number and content of the lines of a list of images that are not empty; none leads out of their folder."""
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path, "list of images").splitlines(), 1)]
    for number, line in lines:
        if line.startswith(("/", "\\")) or ".." in line.split("/") or "\0" in line:
            raise DataError(f"{path}, line {number}: {line!r} is no name below the folder of the images, such as "
                            '"2007_000033"')
    return [(number, line) for number, line in lines if line]


def source_marker(folder: Path) -> Path:
    """The file beside a folder of label files that says what they were made from."""
    return folder.parent / f"{folder.name}_source.txt"


def source_of(folder: Path) -> str:
    """What the label files of a folder were made from; empty where nobody wrote it down."""
    marker = source_marker(folder)
    return read_text(marker, "note").strip() if is_file(marker) else ""


@contextmanager
def _about(path: Path, what: str) -> Iterator[None]:
    """Turn what readers raise into a :class:`SampleError` of this file."""
    try:
        yield
    except SampleError:
        raise
    except FileNotFoundError:
        raise SampleError(path, "missing") from None
    except (OSError, ValueError) as error:
        reason = str(error).removeprefix(str(path)).lstrip(": ")
        raise SampleError(path, f"not a readable {what} ({reason})") from error


def stored_picture(path: Path, what: str = "image") -> Image.Image:
    """Read a picture in its own mode, or raise :class:`SampleError`."""
    with _about(path, what):
        return load_picture(path, what=what)


def read_sample_image(path: Path) -> Image.Image:
    """Read an image as :func:`proxyclip.read_image` does, but never turned: it lies as its labels do."""
    with _about(path, "image"):
        return Image.fromarray(read_image(path, upright=False))


def has_rotation(path: Path) -> bool:
    """Whether the EXIF data of an image ask a viewer to rotate it; whoever reads it says whether it can be read."""
    try:
        with Image.open(path) as picture:
            return ("exif" in picture.info or picture.format != "PNG") and orientation(picture) != 1  # decode nothing
    except Exception:  # of a damaged file Pillow raises errors of many kinds
        return False


def stored_labels(path: Path) -> np.ndarray:
    """Stored values of a label file, (H, W) integer: a picture of one channel, palette indices, or a NumPy array."""
    if path.suffix == ".npy":
        with _about(path, "label map"):
            file = checked_file(path, "label map")
            try:
                stored = np.asarray(np.load(file, allow_pickle=False))
            except Exception as error:  # a damaged header is parsed as Python, which raises errors of many kinds
                raise ValueError(f"{type(error).__name__}: {error}") from error
        if stored.ndim != 2 or stored.dtype.kind not in "iub":
            raise SampleError(path, f"shape {stored.shape} and {stored.dtype}; allowed are whole numbers, (H, W)")
        return stored
    picture = stored_picture(path, "label map")
    if picture.mode not in ("1", "P", "L") and not picture.mode.startswith("I"):
        raise SampleError(path, f"mode {picture.mode}; allowed is one channel of 8 or 16 bits, or a palette")
    return stored_levels(picture)


def read_labels(
    path: Path, classes: int, ignored: int, zero_ignored: bool, counted_void: int | None = None
) -> np.ndarray:
    """Read a label file and check its values: (H, W) int32, -1 where not evaluated, ``classes`` where void is counted.

    Pixels that store ``ignored`` are not evaluated; with ``zero_ignored`` neither is 0, and class ids are one below the
    stored value. Pixels that store ``counted_void`` belong to no class and are evaluated nevertheless.
    """
    stored = stored_labels(path).astype(np.int64)
    first, last = (1, classes) if zero_ignored else (0, classes - 1)
    void = (stored == ignored) | (stored == 0) if zero_ignored else stored == ignored
    counted = np.zeros_like(void) if counted_void is None else stored == counted_void
    wrong = ~void & ~counted & ((stored < first) | (stored > last))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise SampleError(path, f"label {stored[row, column]} at row {row}, column {column} ({int(wrong.sum())} such "
                                f"pixels); allowed are {first} to {last} and {ignored}")
    labels = np.where(void, np.int32(-1), stored - first).astype(np.int32)
    labels[counted] = classes
    return labels
