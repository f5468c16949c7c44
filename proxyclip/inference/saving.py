"""The two files of a segmentation, checked before a model runs, written both or not at all; and pictures in a page."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from proxyclip.system.atomic import replacing

#: Formats of the picture by the ending of its name, and the longest side that a format can hold.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF",
           ".bmp": "BMP"}
LONGEST = {"JPEG": 65_500, "WEBP": 16_383}

#: How label files of this package name their origin, in a text field of the PNG.
SOFTWARE = "proxyclip"


class Destination(NamedTuple):
    """The picture with the legend, and the class ids beside it."""

    picture: Path
    labels: Path

    @classmethod
    def checked(cls, picture: str | os.PathLike[str], force: bool = False, photo: Path | None = None) -> Destination:
        """The picture and ``*_labels.png`` beside it, if both can be written and no file is lost.

        ``force`` allows that they replace the photo that is segmented, or label files that come from elsewhere.
        """
        path = Path(picture)
        found = cls(path, path.with_name(f"{path.stem}_labels.png") if path.name else path)
        if os.path.isdir(path) or not path.name:  # unlike Path.is_dir, also for a name that is too long
            raise ValueError(f"cannot write {path}: it is a folder; name a picture in it")
        if path.suffix.lower() not in FORMATS:
            raise ValueError(f"cannot write {path}: {path.suffix or 'no ending'} is no image format that can be "
                             f"written; use {', '.join(FORMATS)}")
        if not path.parent.is_dir():
            raise ValueError(f"cannot write {path}: the folder {path.parent} does not exist")
        for file in found:
            try:
                with tempfile.TemporaryFile(dir=path.parent):
                    replaced = file.exists()
            except OSError as error:
                short = file.name if len(file.name) < 100 else f"{file.name[:60]}…{file.suffix}"
                raise ValueError(f"cannot write {path.parent / short}: {error.strerror}") from None
            if replaced and file.is_dir():
                raise ValueError(f"cannot write {file}: it is a folder")
            if replaced and not force and photo is not None and photo.exists() and file.samefile(photo):
                raise ValueError(f"{file} is the photo itself; choose another output, or --force to replace it")
        if not force and found.labels.exists() and note_of(found.labels, "Software") != SOFTWARE:
            raise ValueError(f"{found.labels} exists and was not written by proxyclip; choose another output, or "
                             "--force (force=True) to replace it")
        return found

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise a ``ValueError`` if the picture's format cannot hold (width, height)."""
        kind = FORMATS[self.picture.suffix.lower()]
        if max(size) > LONGEST.get(kind, 2**31 - 1):
            raise ValueError(f"cannot write {self.picture}: {kind} holds at most {LONGEST[kind]} pixels a side, the "
                             f"picture has {size[0]} x {size[1]}; use .png")

    def write(self, picture: Image.Image, labels: Image.Image, notes: Mapping[str, str] | None = None) -> None:
        """Write both files or none; ``notes`` become text fields of the label file."""
        self.check_size(picture.size)
        fields = PngImagePlugin.PngInfo()
        for name, value in {"Software": SOFTWARE, **(notes or {})}.items():
            fields.add_itxt(name, value)
        with replacing(self.labels) as first, replacing(self.picture) as second:
            _write(labels, first, "PNG", pnginfo=fields)
            _write(picture, second, FORMATS[self.picture.suffix.lower()])


def _write(image: Image.Image, path: Path, kind: str, **options: object) -> None:
    """Encode in memory first: Pillow's own errors of a full disk differ from format to format."""
    encoded = io.BytesIO()
    image.save(encoded, kind, **options)
    with open(path, "wb") as stream:
        stream.write(encoded.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())


def data_uri(pixels: np.ndarray, quality: int = 80) -> str:
    """A picture, (H, W, 3) uint8, as an address that a page can hold."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "WEBP", quality=quality, method=6)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def note_of(labels: Path, name: str) -> str | None:
    """A text field of a label file; None if it has none, or is no PNG."""
    try:
        with Image.open(labels) as opened:
            value = opened.info.get(name)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return None if value is None else str(value)
