"""The one reader of images: files, PIL images and arrays of any kind become 8-bit RGB arrays."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
import psutil
from PIL import ExifTags, Image, UnidentifiedImageError

from proxyclip.system.files import checked_file

KINDS = (np.uint8, np.uint16)
ImageLike = str | PathLike[str] | Image.Image | np.ndarray

#: Memory that labelling an image takes for each of its pixels, in bytes: working image, labels, rows of logits.
BYTES_PER_PIXEL = 100

#: 16-bit images without a larger value than this are nearly black once they are read.
NEARLY_BLACK = 4095

#: How an image is turned upright, by its EXIF orientation.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a),
}


def read_image(image: ImageLike, *, upright: bool = True, max_pixels: int | None = None) -> np.ndarray:
    """Return an image as an array of RGB bytes.

    Greyscale is repeated over the channels, transparent pixels are blended with white, white-is-zero files are
    inverted as a viewer does, and 16 bits are reduced to 8 over their full range.

    Parameters
    ----------
    image : path, PIL.Image.Image, or array
        Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or uint16.
    upright : bool
        Whether files and PIL images are turned upright by their EXIF tag. Benchmarks are read as stored, since an image
        and its label file belong together as stored. Where the EXIF block is damaged, the image is read as stored.
    max_pixels : int, optional
        Largest number of pixels of a file. By default what can be labelled in half of the free memory, and at most
        twice Pillow's own limit (179 million).

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no image, is damaged or has too many pixels, or an array has another shape or type. The sentence
        names the file.

    Warns
    -----
    UserWarning
        If an image of 16 bits holds so small values that it is nearly black, or an image is very large.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image, "the array")
    if isinstance(image, Image.Image):
        picture, name = image, "the image"
    else:
        name = str(image)
        picture = load_picture(image, max_pixels)
    try:
        pixels = _from_pil(picture, name)
    except (OSError, SyntaxError) as error:  # a PIL image that is decoded only now
        raise ValueError(f"{name} cannot be decoded: {error}") from error
    turned = _UPRIGHT.get(orientation(picture), np.asarray) if upright else np.asarray
    return np.ascontiguousarray(turned(pixels))


def load_picture(path: str | PathLike[str], max_pixels: int | None = None, what: str = "image") -> Image.Image:
    """Decode a file of the kind ``what`` as it is stored: its own mode, not turned; the rest is as for
    :func:`read_image`.
    """
    file = checked_file(Path(path), what)
    try:
        try:
            return _decoded(file, str(path), max_pixels)
        except Exception:
            if (pixels := _without_metadata(file)) is None:
                raise
            return _decoded(pixels, str(path), max_pixels)
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image that Pillow can read") from None
    except ValueError as error:
        if str(error).startswith((str(path), "max_pixels")):
            raise
        raise ValueError(f"{path} cannot be decoded: {error}") from error
    except PermissionError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # decoders of damaged files raise what they like: SyntaxError, RuntimeError, IndexError
        raise ValueError(f"{path} cannot be decoded: {error or type(error).__name__}") from error


#: Where :func:`load_picture` keeps Pillow's description of the pixels as they lie in the file, such as ``L;4I``.
STORED = "stored"

_PILLOW = threading.RLock()


def _decoded(file: Path | io.BytesIO, name: str, max_pixels: int | None) -> Image.Image:
    with _unlimited(), Image.open(file) as picture:
        _check_size(picture.size, name, max_pixels)
        stored = str(getattr(picture, "tile", "")[:1])
        picture.load()
    picture.info[STORED] = stored
    if "16" in stored and isinstance(levels := picture.info.get("transparency"), tuple):
        picture.info["transparency"] = tuple(level >> 8 for level in levels)  # Pillow keeps 8 of the bits of colours
    return picture


def _without_metadata(file: Path) -> io.BytesIO | None:
    """A PNG without what is not its pixels, such as a damaged comment; None for any other file."""
    content = file.read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    chunks, at = [content[:8]], 8
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4])
        if content[at + 4 : at + 5].isupper() or content[at + 4 : at + 8] == b"tRNS":  # upper case: not optional
            chunks.append(content[at:end])
        at = end
    return io.BytesIO(b"".join(chunks))


def whole_picture(stored: bytes) -> Image.Image:
    """The picture in the bytes of a file that this package wrote; raises what Pillow raises if they are damaged."""
    Image.open(io.BytesIO(stored)).verify()  # the checksums of a PNG, which loading does not compare
    picture = Image.open(io.BytesIO(stored))
    picture.load()
    return picture


def stored_levels(picture: Image.Image) -> np.ndarray:
    """Levels of a picture of one channel as :func:`load_picture` found them in the file, (H, W).

    Pillow stretches levels of 2 and 4 bits to 8 and inverts files in which white is zero, as a viewer shows them; here
    both is undone.
    """
    levels, found = np.asarray(picture), re.search(r"'[L1];([24])?(I)?R?'", picture.info.get(STORED, ""))
    if found is None:
        return levels
    if found[2]:
        levels = ~levels
    return levels // (255 // (2 ** int(found[1]) - 1)) if found[1] else levels


@contextmanager
def _unlimited() -> Iterator[None]:
    """Leave the limit on pixels to :func:`_check_size`, which knows the memory and names the file."""
    with _PILLOW:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


#: Pixels from which on Pillow warns, as it is when the package is imported.
_LARGE = Image.MAX_IMAGE_PIXELS or 89_478_485


def _check_size(size: tuple[int, int], name: str, max_pixels: int | None) -> None:
    if max_pixels is not None and max_pixels < 1:
        raise ValueError(f"max_pixels must be a positive number, got {max_pixels}")
    pixels, free = size[0] * size[1], psutil.virtual_memory().available
    allowed = min(2 * _LARGE, free // 2 // BYTES_PER_PIXEL) if max_pixels is None else max_pixels
    described = (f"{name} has {size[0]:,} x {size[1]:,} = {pixels / 1e6:,.1f} million pixels; labelling it needs about "
                 f"{pixels * BYTES_PER_PIXEL / 1e9:,.1f} GB of memory")
    if pixels > allowed:
        raise ValueError(f"{described} ({free / 1e9:,.1f} GB are free), and {allowed:,} pixels are allowed; make it "
                         f"smaller, or allow it with --max-pixels {pixels} (in Python max_pixels={pixels})")
    if pixels > _LARGE and max_pixels is None:
        warnings.warn(described, stacklevel=4)


def orientation(picture: Image.Image) -> int:
    """EXIF orientation of an image, 1 to 8; 1 (as stored) where there is none or the block is damaged."""
    try:
        return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # metadata are not pixels: whatever is wrong with them, the image can be read as stored
        return 1


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image)
        if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
            raise ValueError(f"{name} has pixel values outside 0..65535 (mode {image.mode}); save it with 8 or 16 bits")
        levels = levels.astype(np.uint16)
        alpha = 65535 * (levels != image.info.get("transparency", -1)).astype(np.uint16)
        if getattr(image, "tag_v2", {}).get(262) == 0:  # TIFF's PhotometricInterpretation: white is zero
            levels = 65535 - levels
        if not alpha.all():
            return _from_array(np.stack([levels, levels, levels, alpha], axis=-1), name)
        return _from_array(levels, name)
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        return _from_array(np.asarray(image.convert("RGBA")), name)
    return np.array(image.convert("RGB"))


def _from_array(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape or array.dtype not in KINDS:
        raise ValueError("an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) with uint8 or uint16 "
                         f"values, got shape {array.shape} and {array.dtype}")
    if array.dtype == np.uint16:
        largest = int(array[..., :3].max())
        if 0 < largest <= NEARLY_BLACK:
            warnings.warn(f"{name} has 16 bits, but no value above {largest} of 65535, so it is read nearly black; "
                          "if it holds fewer bits, scale its values to the full range first", stacklevel=4)
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.shape[2] == 4:
        colour, alpha = array[..., :3].astype(np.uint32), array[..., 3:].astype(np.uint32)
        array = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array
