"""Procedural textures of the stuff classes. Class identity is in the structure; colours come from shared palettes."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from proxyclip.tiny.world.classes import NATURAL_PALETTES, PALETTES, STUFF

Array = np.ndarray


def noise(rng: Generator, h: int, w: int, cell_h: float, cell_w: float) -> Array:
    """Smooth noise, (h, w) float32, roughly in [0, 1]: a random grid of cells in pixels, resized bicubically."""
    grid = rng.random((max(2, round(h / cell_h) + 1), max(2, round(w / cell_w) + 1)), dtype=np.float32)
    return np.asarray(Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC))


def shade(field: Array, palette: Array) -> Array:
    """Map a field in [0, 1] linearly along the palette: (h, w) -> (h, w, 3) float32."""
    position = np.clip(field, 0, 0.999) * (len(palette) - 1)
    index = position.astype(np.int32)
    part = (position - index)[..., None]
    return palette[index] * (1 - part) + palette[index + 1] * part


def sky(rng: Generator, h: int, w: int, palette: Array) -> Array:
    top, bottom = rng.uniform(0.3, 0.75), rng.uniform(0.5, 1.0)
    ramp = np.linspace(top, bottom, h, dtype=np.float32)[:, None]
    wisps = noise(rng, h, w, h / rng.uniform(4, 9), w / rng.uniform(1.5, 3)) - 0.5
    return shade(ramp + rng.uniform(0.1, 0.45) * np.abs(wisps), palette)


def grass(rng: Generator, h: int, w: int, palette: Array) -> Array:
    blades = noise(rng, h, w + 16, rng.uniform(7, 12), rng.uniform(1.0, 1.8))
    lean = (4 * noise(rng, h, 1, 12, 1)[:, 0]).astype(np.int32)
    blades = np.stack([row[s : s + w] for row, s in zip(blades, lean, strict=True)])
    patches = noise(rng, h, w, 26, 26)
    return shade(0.75 * blades + 0.45 * patches - 0.1, palette)


def water(rng: Generator, h: int, w: int, palette: Array) -> Array:
    y = np.arange(h, dtype=np.float32)[:, None]
    period = rng.uniform(7, 13)
    bend = noise(rng, h, w, 16, rng.uniform(8, 16)) * period * 0.9
    waves = 0.5 + 0.5 * np.sin(2 * np.pi * (y + bend) / period)
    return shade(0.1 + 0.75 * waves**1.6 + 0.2 * (noise(rng, h, w, 40, 40) - 0.3), palette)


def sand(rng: Generator, h: int, w: int, palette: Array) -> Array:
    grain = rng.random((h, w), dtype=np.float32)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    slope = rng.uniform(-0.5, 0.5)
    phase = (y + slope * x + 14 * noise(rng, h, w, 30, 30)) / rng.uniform(14, 22)
    ripples = (phase % 1.0) ** 2
    return shade(0.42 + 0.28 * ripples + 0.5 * (grain > 0.93) - 0.45 * (grain < 0.08), palette)


def road(rng: Generator, h: int, w: int, palette: Array) -> Array:
    grain = rng.random((h, w), dtype=np.float32)
    base = shade(0.12 + 0.22 * grain + 0.2 * noise(rng, h, w, 40, 40), palette)
    marks = Image.new("L", (2 * w, 2 * h), 0)
    draw = ImageDraw.Draw(marks)
    if rng.random() < 0.75:
        gap, length, thick = int(rng.integers(44, 76)), int(rng.integers(20, 34)), int(rng.integers(5, 10))
    else:
        gap, length, thick = 60, 70, int(rng.integers(4, 8))
    spacing, slant = int(rng.integers(44, 80)), rng.uniform(-0.12, 0.12)
    for y in range(int(rng.integers(6, spacing)), 2 * h, spacing):
        for x in range(-int(rng.integers(0, gap)), 2 * w, gap):
            draw.line((x, y + slant * x, x + length, y + slant * (x + length)), fill=255, width=thick)
    paint = np.asarray(marks.resize((w, h), Image.Resampling.BOX), dtype=np.float32)[..., None] / 255
    ink = np.array([(238, 234, 220), (240, 200, 70)][int(rng.integers(2))], dtype=np.float32)
    return base * (1 - 0.9 * paint) + 0.9 * paint * ink


def _grid(rng: Generator, h: int, w: int, bh: float, bw: float, offset: float) -> tuple[Array, Array, Array]:
    """Rows of cells: (cell id (h, w) int, distance to the nearest joint in y and in x (h, w) float)."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    y, x = y + rng.uniform(0, bh), x + rng.uniform(0, bw)
    row = np.floor(y / bh)
    x = x + offset * bw * (row % 2)
    column = np.floor(x / bw)
    fy, fx = y % bh, x % bw
    cells = (row * 131 + column * 71 + row * column * 7).astype(np.int64)
    return cells, np.minimum(fy, bh - fy), np.minimum(fx, bw - fx)


def bricks(rng: Generator, h: int, w: int, palette: Array) -> Array:
    bh = rng.uniform(7, 12)
    cells, dy, dx = _grid(rng, h, w, bh, bh * rng.uniform(1.9, 2.4), 0.5)
    tone = rng.random(97, dtype=np.float32)[cells % 97]
    body = shade(0.05 + 0.6 * tone + 0.15 * rng.random((h, w), dtype=np.float32), palette)
    joint = np.clip(1.6 - np.minimum(dy, dx), 0, 1)[..., None] * 0.95
    mortar = palette[-1] if rng.random() < 0.7 else palette[0] * 0.7
    return body * (1 - joint) + joint * mortar


def snow(rng: Generator, h: int, w: int, palette: Array) -> Array:
    mounds = noise(rng, h, w, rng.uniform(14, 22), rng.uniform(24, 36))
    light = np.clip((mounds - np.roll(mounds, 3, axis=0)) * 3.0 + 0.55, 0, 1)
    pale = palette * 0.35 + np.array([250, 250, 252], dtype=np.float32) * 0.65
    out = shade(0.15 + 0.8 * light, pale)
    sparkle = rng.random((h, w), dtype=np.float32)
    out[sparkle > 0.985] = 255
    return out


def wood(rng: Generator, h: int, w: int, palette: Array) -> Array:
    turned = rng.random() < 0.35
    hh, ww = (w, h) if turned else (h, w)
    width = rng.uniform(13, 24)
    x = np.arange(ww, dtype=np.float32)[None, :] + rng.uniform(0, width)
    plank = np.floor(x / width).astype(np.int64)
    tone = rng.random(41, dtype=np.float32)[plank % 41]
    warp = noise(rng, hh, ww, 30, 9) * 9
    rings = 0.5 + 0.5 * np.sin((x + warp) * rng.uniform(0.9, 1.5))
    out = shade(0.1 + 0.5 * tone + 0.28 * rings * noise(rng, hh, ww, 40, 3), palette)
    gap = np.clip(1.3 - np.minimum(x % width, width - x % width), 0, 1)[..., None] * np.ones((hh, 1, 1), np.float32)
    out = out * (1 - 0.8 * gap) + 0.8 * gap * palette[0] * 0.4
    return out.transpose(1, 0, 2) if turned else out


def leaves(rng: Generator, h: int, w: int, palette: Array) -> Array:
    image = Image.new("RGB", (2 * w, 2 * h), tuple(int(v * 0.55) for v in palette[0]))
    draw = ImageDraw.Draw(image)
    size = rng.uniform(9, 14)
    count = int(2.6 * 4 * h * w / (size * size * 2.2))
    centre = rng.random((count, 2)) * (2 * w, 2 * h)
    angle, tones = rng.uniform(0, 2 * np.pi, count), rng.integers(0, len(palette), count)
    length = size * rng.uniform(0.7, 1.3, count)
    bright = rng.uniform(0.75, 1.1, count)
    c, s = np.cos(angle) * length, np.sin(angle) * length
    along, across = np.array([-1, -0.35, 0.3, 1, 0.3, -0.35]), np.array([0, -0.45, -0.42, 0, 0.42, 0.45])
    px = centre[:, :1] + c[:, None] * along - s[:, None] * across
    py = centre[:, 1:] + s[:, None] * along + c[:, None] * across
    points = np.stack([px, py], axis=-1).reshape(count, -1)
    colours = np.clip(palette[tones] * bright[:, None], 0, 255).astype(int)
    for p, colour in zip(points.tolist(), colours.tolist(), strict=True):
        draw.polygon(p, fill=tuple(colour))
    return np.asarray(image.resize((w, h), Image.Resampling.BOX), dtype=np.float32)


def stones(rng: Generator, h: int, w: int, palette: Array) -> Array:
    image = Image.new("RGB", (2 * w, 2 * h), tuple(int(v * 0.45) for v in palette[0]))
    draw = ImageDraw.Draw(image)
    step = rng.uniform(20, 34)
    ring = np.linspace(0, 2 * np.pi, 9)[:-1]
    for j, y in enumerate(np.arange(-step / 2, 2 * h + step, step * 0.86)):
        for x in np.arange(-step * (j % 2) / 2, 2 * w + step, step):
            cx, cy = x + rng.uniform(-3, 3), y + rng.uniform(-3, 3)
            radius = 0.53 * step * rng.uniform(0.78, 1.08, len(ring))
            colour = palette[int(rng.integers(len(palette)))] * rng.uniform(0.8, 1.1)
            rim = np.stack([cx + radius * np.cos(ring), cy + radius * np.sin(ring)], axis=-1)
            draw.polygon(rim.ravel().tolist(), fill=tuple(int(min(v * 0.8, 255)) for v in colour))
            lit = (rim - (cx, cy)) * 0.72 + (cx - 1.5, cy - 1.5)
            draw.polygon(lit.ravel().tolist(), fill=tuple(int(min(v, 255)) for v in colour))
    return np.asarray(image.resize((w, h), Image.Resampling.BOX), dtype=np.float32)


def tiles(rng: Generator, h: int, w: int, palette: Array) -> Array:
    size = rng.uniform(10, 18)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    if rng.random() < 0.4:  # diamonds
        y, x = (y + x) * 0.7071, (y - x) * 0.7071
    y, x = y + rng.uniform(0, size), x + rng.uniform(0, size)
    odd = (np.floor(y / size) + np.floor(x / size)) % 2
    fy, fx = (y % size) / size, (x % size) / size
    order = rng.permutation(len(palette))
    first, second = palette[order[0]], palette[order[1]]
    body = np.where(odd[..., None] > 0, first, second) * (0.88 + 0.2 * (1 - fy * fx)[..., None])
    edge = np.minimum(np.minimum(fy, 1 - fy), np.minimum(fx, 1 - fx)) * size
    joint = np.clip(1.4 - edge, 0, 1)[..., None]
    return body * (1 - joint) + joint * palette[-1]


def carpet(rng: Generator, h: int, w: int, palette: Array) -> Array:
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    period, zig = rng.uniform(12, 20), rng.uniform(10, 18)
    fold = np.abs((x + rng.uniform(0, zig)) % zig - zig / 2) * rng.uniform(0.8, 1.3)
    if rng.random() < 0.5:  # diamonds instead of chevrons
        fold = np.abs((y + period / 2) % period - period / 2) + fold
        band = fold % (period * 0.7) / (period * 0.7)
    else:
        band = ((y + fold) % period) / period
    order = rng.permutation(len(palette))
    index = np.minimum((band * 3).astype(np.int32), 2)
    weave = 0.9 + 0.2 * ((np.floor(x) + np.floor(y)) % 2)
    return palette[order[:3]][index] * weave[..., None]


#: One function for each stuff class, named after it.
TEXTURES: dict[str, Callable[[Generator, int, int, Array], Array]] = {name: globals()[name] for name in STUFF}


def palette_for(rng: Generator, name: str, natural: float = 0.45) -> Array:
    """A palette for a stuff class, (4, 3) float32 in [0, 255], with random changes of its colours.

    With probability ``natural`` it is one that suits the class, else any.
    """
    if rng.random() < natural:
        choices = NATURAL_PALETTES[name]
        index = choices[int(rng.integers(len(choices)))]
    else:
        index = int(rng.integers(len(PALETTES)))
    palette = np.array(PALETTES[index], dtype=np.float32)
    accent = rng.random()
    if accent < 0.3:  # one colour of another palette, so that a texture is not one hue
        other = np.array(PALETTES[int(rng.integers(len(PALETTES)))], dtype=np.float32)
        slot = int(rng.integers(4))
        palette[slot] = other[slot]
    tint = rng.uniform(0.88, 1.12, 3).astype(np.float32) * np.float32(rng.uniform(0.85, 1.12))
    return np.clip(palette * tint, 0, 255)


def paint(rng: Generator, name: str, h: int, w: int) -> Array:
    """Texture of one stuff class: (h, w, 3) float32 in [0, 255]."""
    return np.clip(TEXTURES[name](rng, h, w, palette_for(rng, name)), 0, 255).astype(np.float32)
