"""Read images of any kind as upright 8-bit RGB arrays."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

KINDS = (np.uint8, np.uint16)
ImageLike = str | PathLike[str] | Image.Image | np.ndarray


def read_image(image: ImageLike) -> np.ndarray:
    """Return an image as an array of RGB bytes.

    Files and PIL images are turned upright by their EXIF tag. Greyscale is repeated over the channels, transparent
    pixels are blended with white, and 16 bits are reduced to 8.

    Parameters
    ----------
    image : path, PIL.Image.Image, or array
        Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or uint16.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no image or is damaged, or an array has another shape or type.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    if isinstance(image, Image.Image):
        return _from_pil(image, "the image")
    path = Path(image)
    if not path.exists():
        raise FileNotFoundError(f"no such image: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image")
    try:
        with Image.open(path) as opened:
            return _from_pil(opened, str(path))
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image that Pillow can read") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be decoded: {error}") from None


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        levels = np.asarray(image)
        if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
            raise ValueError(f"{name} has pixel values outside 0..65535 (mode {image.mode}); save it with 8 or 16 bits")
        return _from_array(levels.astype(np.uint16))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _from_array(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB")).copy()


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape or array.dtype not in KINDS:
        raise ValueError("an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) with uint8 or uint16 "
                         f"values, got shape {array.shape} and {array.dtype}")
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.shape[2] == 4:
        colour, alpha = array[..., :3].astype(np.uint32), array[..., 3:].astype(np.uint32)
        array = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array
