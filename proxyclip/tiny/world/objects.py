"""Painting one thing: a drawing, a colour, a pattern and a pose become an anti-aliased sprite."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from proxyclip.tiny.world.classes import COLOURS, PATTERNS
from proxyclip.tiny.world.shapes import DARK, DRAWINGS, EMPTY, GLASS, LIGHT, MAIN, OUTLINE, SECOND, WOODEN

Array = np.ndarray

#: Linear oversampling of the vector drawings.
OVERSAMPLE = 3
#: Things that look right only upright; the others may be turned.
UPRIGHT = frozenset({"house", "tree", "car", "boat", "cup", "mushroom", "chair", "lamp", "sign", "cloud", "umbrella"})


@dataclass(frozen=True)
class Look:
    """Colour and pattern of an object: words of ``COLOURS`` and ``PATTERNS``."""

    colour: str
    pattern: str


@dataclass(frozen=True)
class Sprite:
    """A painted object: ``image`` (h, w, 3) float32 in [0, 255], ``alpha`` (h, w) float32 in [0, 1]."""

    image: Array
    alpha: Array


def random_look(rng: Generator) -> Look:
    names = tuple(COLOURS)
    return Look(names[int(rng.integers(len(names)))], PATTERNS[int(rng.integers(len(PATTERNS)))])


def _pattern(rng: Generator, pattern: str, u: Array, v: Array) -> Array:
    """Where the second colour shows, as (h, w) bool; ``u``, ``v`` are object coordinates in [-0.5, 0.5]."""
    if pattern == "striped":
        angle, period = rng.choice([0.0, np.pi / 2, np.pi / 4, -np.pi / 4]), rng.uniform(0.18, 0.28)
        return ((u * np.cos(angle) + v * np.sin(angle)) / period + rng.random()) % 1.0 < 0.4
    if pattern == "dotted":
        period = rng.uniform(0.2, 0.28)
        row = np.floor(v / period)
        du, dv = (u / period + 0.5 * (row % 2)) % 1.0 - 0.5, (v / period) % 1.0 - 0.5
        return du * du + dv * dv < 0.29**2
    period = rng.uniform(0.17, 0.25)
    return (np.floor(u / period) + np.floor(v / period)) % 2 == 0


def _colours(rng: Generator, look: Look) -> tuple[Array, Array]:
    """The layer table (8, 3) float32 and the second colour of the pattern (3,) float32."""
    names = [n for n in COLOURS if n != look.colour]
    main = np.array(COLOURS[look.colour], np.float32) * rng.uniform(0.85, 1.1, 3)
    plain = "black" if look.colour == "white" else "white"
    other = names[int(rng.integers(len(names)))] if rng.random() < 0.5 else plain
    trim = np.array(COLOURS[names[int(rng.integers(len(names)))]], np.float32) * rng.uniform(0.85, 1.08)
    table = np.zeros((8, 3), np.float32)
    table[OUTLINE] = main * 0.28 + 8
    table[MAIN] = main
    table[SECOND] = trim
    table[DARK] = rng.uniform(35, 80, 3)
    table[LIGHT] = rng.uniform(215, 248, 3)
    table[WOODEN] = np.array([128, 88, 54]) * rng.uniform(0.75, 1.25)
    table[GLASS] = np.array([150, 196, 220]) * rng.uniform(0.8, 1.12)
    return table, np.array(COLOURS[other], np.float32) * rng.uniform(0.88, 1.05, 3).astype(np.float32)


def draw(rng: Generator, thing: str, look: Look, size: float, light: tuple[float, float], turn: float) -> Sprite:
    """Paint one object, a thing of ``THINGS`` with a colour and a pattern, cropped to the turned drawing.

    The drawing's unit square is ``size`` pixels long and turned by ``turn`` radians; ``light`` is the unit vector (x,
    y) towards the light.
    """
    parts = DRAWINGS[thing](rng)
    stretch = np.array([rng.uniform(0.86, 1.16), rng.uniform(0.86, 1.16)])
    flip = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(turn), np.sin(turn)
    pose = np.array([[cos, -sin], [sin, cos]]) @ np.diag(stretch * (flip, 1.0)) * size * OVERSAMPLE
    placed = [(layer, (points - 0.5) @ pose.T) for layer, points in parts]
    corner = np.min([p.min(axis=0) for _, p in placed], axis=0) - OVERSAMPLE
    extent = np.max([p.max(axis=0) for _, p in placed], axis=0) + OVERSAMPLE - corner
    w, h = (int(np.ceil(e / OVERSAMPLE)) for e in extent)
    canvas = Image.new("L", (w * OVERSAMPLE, h * OVERSAMPLE), EMPTY)
    pen = ImageDraw.Draw(canvas)
    thick = int(max(2, round(size * OVERSAMPLE / 40)))
    for layer, points in placed:
        flat = (points - corner).ravel().tolist()
        pen.polygon(flat, fill=layer, outline=layer if layer == EMPTY else OUTLINE, width=thick)
    layers = np.asarray(canvas)
    table, second = _colours(rng, look)
    image = table[layers]
    if look.pattern != "plain":
        y, x = np.mgrid[0 : layers.shape[0], 0 : layers.shape[1]].astype(np.float32)
        inverse = np.linalg.inv(pose)
        x, y = x + np.float32(corner[0]), y + np.float32(corner[1])
        u, v = inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y
        image[(layers == MAIN) & _pattern(rng, look.pattern, u, v)] = second
    alpha = (layers != EMPTY).astype(np.float32)
    fold = (h, OVERSAMPLE, w, OVERSAMPLE)
    cover = alpha.reshape(fold).mean(axis=(1, 3))
    colour = (image * alpha[..., None]).reshape(*fold, 3).mean(axis=(1, 3)) / np.maximum(cover, 1e-3)[..., None]
    ramp_y, ramp_x = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]
    shading = 1.0 + 0.2 * (ramp_x * light[0] + ramp_y * light[1]) * rng.uniform(0.6, 1.4)
    return Sprite(np.clip(colour * shading[..., None], 0, 255).astype(np.float32), cover)


def soft_shadow(alpha: Array, blur: float) -> Array:
    """A blurred silhouette: (h, w) float32 in [0, 1] -> (h + 2m, w + 2m) with margin ``m = ceil(2 blur)``."""
    margin = int(np.ceil(2 * blur))
    padded = np.pad(alpha, margin)
    blurred = Image.fromarray((padded * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(blurred, np.float32) / 255
