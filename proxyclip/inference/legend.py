"""The legend below a segmentation: a coloured square and the name of each class that occurs."""

import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

#: Its letters are those of most alphabets; Pillow's own font has those of English.
DEJAVU = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def with_legend(picture: Image.Image, entries: Sequence[tuple[str, np.ndarray]]) -> Image.Image:
    """Append a legend to a picture, wrapped to its width: the name and the colour, (3,) uint8, of each class.

    Warns if no installed font has the letters of a name, which is then written with escapes such as ``\\u6811``.
    """
    size = max(11, round(picture.width / 42))
    written = [(*_legible(name, size), tuple(int(level) for level in colour)) for name, colour in entries]
    if escaped := [name for (name, _), (shown, *_) in zip(entries, written, strict=True) if shown != name]:
        warnings.warn(f"no font on this machine has the letters of {', '.join(escaped)}, which the legend writes with "
                      "escapes; install one, such as Noto Sans CJK", stacklevel=4)
    places, x, y = [], size // 2, size // 2
    for name, font, colour in written:
        wide = round(size * 1.4 + font.getlength(name) + size)
        if x > size // 2 and x + wide > picture.width:
            x, y = size // 2, y + round(size * 1.6)
        places.append((x, y, name, font, colour))
        x += wide
    ends = (x + round(size * 1.4 + font.getlength(name) + size / 2) for x, _, name, font, _ in places)
    width = max(picture.width, *ends)
    canvas = Image.new("RGB", (width, picture.height + y + round(size * 1.7)), "white")
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for x, y, name, font, colour in places:
        top = picture.height + y
        draw.rectangle((x, top, x + size, top + size), fill=colour, outline="black")
        draw.text((x + round(size * 1.4), top + size / 2), name, fill="black", font=font, anchor="lm")
    return canvas


def _legible(name: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """A name with a font that has all its letters; where no font has them, the letters are escaped."""
    needed = {ord(letter) for letter in name}
    for path in _fonts():
        if needed <= _letters(path):
            try:
                return name, ImageFont.truetype(path, size)
            except OSError:  # a font of pictures, which has a single size
                continue
    known = _letters(DEJAVU)
    shown = "".join(letter if ord(letter) in known else letter.encode("unicode_escape").decode() for letter in name)
    return shown, ImageFont.truetype(DEJAVU, size)


def _fonts() -> Iterator[str]:
    """Files of DejaVu Sans, and then of all upright fonts of this machine."""
    yield DEJAVU
    from matplotlib.font_manager import fontManager

    installed = {entry.name: entry.fname for entry in fontManager.ttflist
                 if entry.style == "normal" and not entry.name.startswith("Last Resort")}
    yield from (installed[name] for name in sorted(installed))


@cache
def _letters(font: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(font).get_charmap())
    except (OSError, RuntimeError):  # removed since matplotlib listed it, or damaged
        return frozenset()
