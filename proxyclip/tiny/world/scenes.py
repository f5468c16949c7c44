"""Scenes: layouts of textures and things under one light, with label and instance maps.

A scene is a pure function of (set name, seed, index): the same numbers give the same pixels in every process.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence
from PIL import Image, ImageDraw, ImageFilter

from proxyclip.tiny.world.objects import UPRIGHT, Look, draw, random_look, soft_shadow
from proxyclip.tiny.world.textures import noise, paint

Array = np.ndarray


@dataclass(frozen=True)
class Item:
    """One region or object of a scene: its class and, for things, its look."""

    name: str
    look: Look | None = None


@dataclass
class Canvas:
    """A scene that is being painted: ``image`` (H, W, 3) float32, ``instances`` (H, W) uint8 indexing ``items``."""

    rng: Generator
    height: int
    width: int
    image: Array = field(init=False)
    instances: Array = field(init=False)
    items: list[Item] = field(default_factory=list)
    light: tuple[float, float] = (0.0, -1.0)

    def __post_init__(self) -> None:
        self.image = np.zeros((self.height, self.width, 3), np.float32)
        self.instances = np.zeros((self.height, self.width), np.uint8)
        angle = self.rng.uniform(-np.pi * 0.85, -np.pi * 0.15)
        self.light = (float(np.cos(angle)), float(np.sin(angle)))

    def fill(self, name: str, mask: Array | None = None) -> None:
        """Paint a texture on the whole canvas, or blend it in with a soft mask (H, W)."""
        texture = paint(self.rng, name, self.height, self.width)
        self.items.append(Item(name))
        if mask is None:
            self.image[:] = texture
            self.instances[:] = len(self.items) - 1
            return
        self.image += mask[..., None] * (texture - self.image)
        self.instances[mask > 0.5] = len(self.items) - 1

    def put(self, thing: str, size: float, centre: tuple[float, float], look: Look | None = None) -> None:
        """Paint a thing and its shadow, with the sprite's ``centre`` at (x, y) pixels; parts outside are cut off."""
        rng = self.rng
        look = look or random_look(rng)
        turn = rng.normal(0, 0.1) if thing in UPRIGHT else rng.uniform(-0.7, 0.7)
        sprite = draw(rng, thing, look, size, self.light, turn)
        h, w = sprite.alpha.shape
        x, y = round(centre[0] - w / 2), round(centre[1] - h / 2)
        blur = max(1.0, size / 22)
        shadow = soft_shadow(sprite.alpha, blur)
        margin, reach = int(np.ceil(2 * blur)), size * rng.uniform(0.05, 0.12)
        sx, sy = x - margin - round(reach * self.light[0]), y - margin - round(reach * self.light[1])
        if (overlap := self._overlap(shadow.shape, sx, sy)) is None:
            return
        spot, part = overlap
        self.image[spot] *= (1 - rng.uniform(0.3, 0.55) * shadow[part])[..., None]
        if (overlap := self._overlap((h, w), x, y)) is None:
            return
        spot, part = overlap
        alpha = sprite.alpha[part]
        self.image[spot] += alpha[..., None] * (sprite.image[part] - self.image[spot])
        self.items.append(Item(thing, look))
        self.instances[spot][alpha > 0.5] = len(self.items) - 1

    def _overlap(self, shape: tuple[int, int], x: int, y: int) -> tuple[tuple[slice, slice], ...] | None:
        """Where a picture at (x, y) overlaps the canvas, as slices of the canvas and of the picture."""
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + shape[1], self.width), min(y + shape[0], self.height)
        if x0 >= x1 or y0 >= y1:
            return None
        return (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))

    def finish(self) -> Array:
        """Apply uneven light, a cast shadow and sensor noise to the whole image: (H, W, 3) uint8."""
        rng, h, w = self.rng, self.height, self.width
        lighting = 0.78 + 0.44 * noise(rng, h, w, 70, 70)
        if rng.random() < 0.6:  # the shadow of something outside the picture
            mask = Image.new("L", (w, h), 0)
            x, y = rng.uniform(-0.2, 1.0) * w, rng.uniform(-0.2, 1.0) * h
            angle, broad = rng.uniform(0, np.pi), rng.uniform(14, 44)
            along = np.array([np.cos(angle), np.sin(angle)]) * 2 * w
            across = np.array([-np.sin(angle), np.cos(angle)]) * broad
            corners = np.array([x, y]) + np.array([along + across, along - across, -along - across, -along + across])
            ImageDraw.Draw(mask).polygon(corners.ravel().tolist(), fill=255)
            mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.8, 3.5)))
            lighting = lighting * (1 - rng.uniform(0.2, 0.45) * np.asarray(mask, np.float32) / 255)
        tint = rng.uniform(0.93, 1.07, 3).astype(np.float32)
        out = self.image * lighting[..., None] * tint
        out += rng.standard_normal((h, w, 3), dtype=np.float32) * np.float32(rng.uniform(1, 5))
        return np.clip(out, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Scene:
    """A picture of the tiny world."""

    image: Array  #: (H, W, 3) uint8, RGB
    labels: Array  #: (H, W) int16, index of the class in the set's class list; -1 is ignored
    instances: Array  #: (H, W) uint8, index into ``items``
    items: tuple[Item, ...]


def generator(name: str, seed: int, index: int) -> Generator:
    """The random stream of one scene; independent of the process, the platform and ``PYTHONHASHSEED``."""
    return Generator(PCG64(SeedSequence([zlib.crc32(name.encode()), seed, index])))


def pick(rng: Generator, names: tuple[str, ...], not_these: tuple[str, ...] = ()) -> str:
    left = [n for n in names if n not in not_these] or list(names)
    return left[int(rng.integers(len(left)))]


def curve(rng: Generator, n: int, level: float, rough: float) -> Array:
    """An uneven horizon: (n,) float32 around ``level`` with a slope and bumps of about ``rough`` pixels."""
    t = np.linspace(-0.5, 0.5, n, dtype=np.float32)
    bumps = noise(rng, 2, n, 1, max(8, n / 5))[0] - 0.5
    return level + rough * (rng.normal(0, 1.0) * t + 2.0 * bumps)


def below(canvas: Canvas, level: float, rough: float) -> Array:
    """Soft mask of the pixels below an uneven horizon."""
    edge = curve(canvas.rng, canvas.width, level, rough)
    return np.clip(np.arange(canvas.height, dtype=np.float32)[:, None] - edge[None] + 0.5, 0, 1)


def right_of(canvas: Canvas, level: float, rough: float) -> Array:
    edge = curve(canvas.rng, canvas.height, level, rough)
    return np.clip(np.arange(canvas.width, dtype=np.float32)[None] - edge[:, None] + 0.5, 0, 1)


def blob(canvas: Canvas, cx: float, cy: float, rx: float, ry: float) -> Array:
    y, x = np.mgrid[0 : canvas.height, 0 : canvas.width].astype(np.float32)
    angle = np.arctan2(y - cy, x - cx)
    phase, lobes = canvas.rng.uniform(0, 6.28), int(canvas.rng.integers(2, 5))
    radius = 1 + 0.15 * np.sin(lobes * angle + phase)
    return np.clip((radius - np.hypot((x - cx) / rx, (y - cy) / ry)) * min(rx, ry) + 0.5, 0, 1)


def rectangle(canvas: Canvas, x0: float, y0: float, x1: float, y1: float) -> Array:
    y, x = np.mgrid[0 : canvas.height, 0 : canvas.width].astype(np.float32)
    inside_x = np.clip(x - x0 + 0.5, 0, 1) * np.clip(x1 - x + 0.5, 0, 1)
    return inside_x * np.clip(y - y0 + 0.5, 0, 1) * np.clip(y1 - y + 0.5, 0, 1)
