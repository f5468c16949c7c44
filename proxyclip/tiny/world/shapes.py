"""Vector drawings of the thing classes: polygons in unit coordinates, painted by layer index.

A drawing is a list of ``(layer, points)`` in [0, 1]² (y down), painted in order. Layers are indices into a small
colour table, so a drawing knows nothing of colours: ``MAIN`` takes the object's colour and pattern.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from proxyclip.tiny.world.classes import THINGS

Array = np.ndarray
Part = tuple[int, Array]

EMPTY, OUTLINE, MAIN, SECOND, DARK, LIGHT, WOODEN, GLASS = range(8)


def poly(*points: float) -> Array:
    """Flat ``x, y, x, y, …`` to (N, 2)."""
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def box(x0: float, y0: float, x1: float, y1: float) -> Array:
    return poly(x0, y0, x1, y0, x1, y1, x0, y1)


def oval(cx: float, cy: float, rx: float, ry: float, start: float = 0.0, stop: float = 360.0, n: int = 28) -> Array:
    angle = np.radians(np.linspace(start, stop, n))
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=-1)


def tube(points: Array, width: float) -> Array:
    """A thick polyline as one polygon: (N, 2) centre line -> (2N, 2)."""
    step = np.gradient(points, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=-1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    return np.concatenate([points + normal * width / 2, (points - normal * width / 2)[::-1]])


def ball(rng: Generator) -> list[Part]:
    return [(MAIN, oval(0.5, 0.5, 0.46, 0.46, n=40))]


def star(rng: Generator) -> list[Part]:
    inner = rng.uniform(0.19, 0.24)
    angle = np.radians(np.arange(10) * 36 - 90)
    radius = np.where(np.arange(10) % 2 == 0, 0.49, inner)
    return [(MAIN, np.stack([0.5 + radius * np.cos(angle), 0.52 + radius * np.sin(angle)], axis=-1))]


def house(rng: Generator) -> list[Part]:
    eave = rng.uniform(0.36, 0.46)
    parts = [(DARK, box(0.68, 0.1, 0.79, 0.36))] if rng.random() < 0.6 else []
    parts += [(MAIN, box(0.12, eave, 0.88, 0.97)), (SECOND, poly(0.02, eave + 0.03, 0.5, 0.04, 0.98, eave + 0.03))]
    door = rng.uniform(0.2, 0.56)
    parts.append((DARK, box(door, 0.66, door + 0.2, 0.97)))
    window = 0.6 if door < 0.38 else 0.2
    return [*parts, (GLASS, box(window, 0.58, window + 0.2, 0.76))]


def tree(rng: Generator) -> list[Part]:
    trunk = (WOODEN, box(0.43, 0.66, 0.57, 0.98))
    if rng.random() < 0.5:
        crown = [
            (MAIN, poly(0.5, 0.3, 0.9, 0.76, 0.1, 0.76)),
            (MAIN, poly(0.5, 0.14, 0.83, 0.54, 0.17, 0.54)),
            (MAIN, poly(0.5, 0.01, 0.74, 0.32, 0.26, 0.32)),
        ]
    else:
        angle = np.radians(np.linspace(0, 360, 64))
        radius = 0.33 + 0.05 * np.abs(np.sin(angle * rng.integers(3, 5)))
        crown = [(MAIN, np.stack([0.5 + 1.18 * radius * np.cos(angle), 0.38 + radius * np.sin(angle)], axis=-1))]
    return [trunk, *crown]


def car(rng: Generator) -> list[Part]:
    front = rng.uniform(0.7, 0.8)
    roof = rng.uniform(0.24, 0.3)
    body = poly(0.02, 0.52, 0.2, 0.48, 0.3, roof, 0.66, roof, front, 0.48, 0.96, 0.54, 0.98, 0.76, 0.02, 0.76)
    glass = poly(0.27, 0.47, 0.34, roof + 0.06, 0.47, roof + 0.06, 0.47, 0.47)
    screen = poly(0.51, 0.47, 0.51, roof + 0.06, 0.63, roof + 0.06, front - 0.05, 0.47)
    parts = [(MAIN, body), (GLASS, glass), (GLASS, screen)]
    for x in (0.24, 0.76):
        parts += [(DARK, oval(x, 0.76, 0.13, 0.13)), (LIGHT, oval(x, 0.76, 0.055, 0.055))]
    return parts


def boat(rng: Generator) -> list[Part]:
    mast = rng.uniform(0.42, 0.52)
    return [
        (WOODEN, box(mast, 0.06, mast + 0.045, 0.7)),
        (LIGHT, poly(mast - 0.03, 0.12, mast - 0.03, 0.62, 0.1, 0.62)),
        (SECOND, poly(mast + 0.08, 0.04, 0.92, 0.62, mast + 0.08, 0.62)),
        (MAIN, poly(0.02, 0.68, 0.98, 0.68, 0.8, 0.95, 0.2, 0.95)),
    ]


def fish(rng: Generator) -> list[Part]:
    fat = rng.uniform(0.22, 0.3)
    return [
        (SECOND, poly(0.66, 0.5, 0.98, 0.24, 0.9, 0.5, 0.98, 0.76)),
        (SECOND, poly(0.3, 0.5 - fat * 0.8, 0.5, 0.1, 0.6, 0.5 - fat * 0.7)),
        (MAIN, oval(0.4, 0.5, 0.38, fat)),
        (LIGHT, oval(0.2, 0.45, 0.06, 0.06)),
        (DARK, oval(0.19, 0.45, 0.03, 0.03)),
    ]


def flower(rng: Generator) -> list[Part]:
    count = int(rng.integers(5, 8))
    stem = tube(poly(0.5, 0.4, 0.52, 0.7, 0.48, 0.99), 0.06)
    leaf = [(SECOND, oval(0.63, 0.78, 0.14, 0.06)), (SECOND, oval(0.36, 0.86, 0.14, 0.06))]
    petals = [
        (MAIN, oval(0.5 + 0.2 * np.cos(a), 0.33 + 0.2 * np.sin(a), 0.13, 0.13, n=18))
        for a in np.linspace(0, 2 * np.pi, count + 1)[:-1]
    ]
    return [(SECOND, stem), *leaf, *petals, (LIGHT, oval(0.5, 0.33, 0.11, 0.11, n=18))]


def cup(rng: Generator) -> list[Part]:
    handle = tube(oval(0.68, 0.5, 0.22, 0.2, -80, 80), 0.08)
    return [
        (MAIN, handle),
        (MAIN, poly(0.1, 0.18, 0.7, 0.18, 0.66, 0.92, 0.6, 0.96, 0.2, 0.96, 0.14, 0.92)),
        (LIGHT, oval(0.4, 0.18, 0.3, 0.09)),
        (DARK, oval(0.4, 0.19, 0.25, 0.06)),
    ]


def cloud(rng: Generator) -> list[Part]:
    lift = rng.uniform(0.16, 0.24)
    x = np.linspace(0.03, 0.97, 60)
    bumps = np.zeros_like(x)
    for cx, r in ((0.2, 0.17), (0.43, lift + 0.08), (0.66, lift + 0.03), (0.83, 0.14)):
        bumps = np.maximum(bumps, np.sqrt(np.maximum(0, r * r - (x - cx) ** 2)) * 1.35)
    top = np.stack([x, 0.66 - bumps], axis=-1)
    return [(MAIN, np.concatenate([top, oval(0.87, 0.66, 0.1, 0.1, 0, 90, 8), oval(0.13, 0.66, 0.1, 0.1, 90, 180, 8)]))]


def moon(rng: Generator) -> list[Part]:
    thick = rng.uniform(0.16, 0.26)
    outer = oval(0.52, 0.5, 0.46, 0.46, 50, 310, 40)
    inner = oval(0.52 + thick, 0.5, 0.36, 0.37, 300, 60, 30)
    return [(MAIN, np.concatenate([outer, inner]))]


def mushroom(rng: Generator) -> list[Part]:
    cap = oval(0.5, 0.52, 0.47, 0.46, 180, 360, 32)
    stem = poly(0.38, 0.5, 0.62, 0.5, 0.68, 0.96, 0.32, 0.96)
    spots = [(LIGHT, oval(x, y, r, r, n=16)) for x, y, r in ((0.32, 0.36, 0.07), (0.56, 0.24, 0.08), (0.74, 0.4, 0.06))]
    return [(LIGHT, stem), (MAIN, cap), *(spots if rng.random() < 0.5 else spots[:2])]


def heart(rng: Generator) -> list[Part]:
    t = np.linspace(0, 2 * np.pi, 48)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(MAIN, np.stack([0.5 + x / 34, 0.46 - y / 34], axis=-1))]


def key(rng: Generator) -> list[Part]:
    teeth = [(MAIN, box(0.66, 0.52, 0.75, 0.72)), (MAIN, box(0.84, 0.52, 0.94, 0.76))]
    return [
        *teeth,
        (MAIN, box(0.4, 0.43, 0.97, 0.57)),
        (MAIN, oval(0.24, 0.5, 0.23, 0.25)),
        (EMPTY, oval(0.2, 0.5, 0.09, 0.1, n=16)),
    ]


def umbrella(rng: Generator) -> list[Part]:
    canopy = oval(0.5, 0.5, 0.48, 0.45, 180, 360, 32)
    edge = np.linspace(0.98, 0.02, 40)
    scallop = np.stack([edge, 0.5 - 0.06 * np.abs(np.sin((edge - 0.02) / 0.96 * np.pi * 4))], axis=-1)
    hook = np.concatenate([poly(0.5, 0.3, 0.5, 0.84), oval(0.59, 0.86, 0.09, 0.09, 180, 10, 12)])
    return [(DARK, tube(hook, 0.055)), (MAIN, np.concatenate([canopy, scallop]))]


def rocket(rng: Generator) -> list[Part]:
    hull = poly(0.5, 0.01, 0.62, 0.18, 0.67, 0.42, 0.64, 0.78, 0.36, 0.78, 0.33, 0.42, 0.38, 0.18)
    return [
        (LIGHT, poly(0.4, 0.8, 0.6, 0.8, 0.5, 0.99)),
        (SECOND, poly(0.36, 0.5, 0.12, 0.84, 0.36, 0.78)),
        (SECOND, poly(0.64, 0.5, 0.88, 0.84, 0.64, 0.78)),
        (MAIN, hull),
        (GLASS, oval(0.5, 0.36, 0.08, 0.08, n=18)),
    ]


def bottle(rng: Generator) -> list[Part]:
    neck = rng.uniform(0.09, 0.13)
    body = poly(
        0.5 - neck, 0.12, 0.5 + neck, 0.12, 0.5 + neck, 0.32, 0.72, 0.46, 0.72, 0.95, 0.68, 0.98, 0.32, 0.98,
        0.28, 0.95, 0.28, 0.46, 0.5 - neck, 0.32,
    )
    return [(MAIN, body), (SECOND, box(0.48 - neck, 0.02, 0.52 + neck, 0.13)), (LIGHT, box(0.28, 0.58, 0.72, 0.8))]


def chair(rng: Generator) -> list[Part]:
    legs = [(WOODEN, box(x, 0.62, x + 0.08, 0.98)) for x in (0.2, 0.74)]
    posts = [(WOODEN, box(0.2, 0.04, 0.28, 0.6))]
    return [*legs, *posts, (MAIN, box(0.22, 0.06, 0.36, 0.56)), (MAIN, box(0.16, 0.52, 0.88, 0.68))]


def lamp(rng: Generator) -> list[Part]:
    return [
        (DARK, box(0.46, 0.38, 0.54, 0.92)),
        (DARK, oval(0.5, 0.93, 0.22, 0.05)),
        (MAIN, poly(0.36, 0.04, 0.64, 0.04, 0.84, 0.44, 0.16, 0.44)),
        (LIGHT, oval(0.5, 0.45, 0.1, 0.06)),
    ]


def sign(rng: Generator) -> list[Part]:
    side = np.radians(np.arange(8) * 45 + 22.5)
    plate = np.stack([0.5 + 0.36 * np.cos(side), 0.33 + 0.32 * np.sin(side)], axis=-1)
    inner = (plate - (0.5, 0.33)) * 0.82 + (0.5, 0.33)
    bar = (LIGHT, box(0.3, 0.28, 0.7, 0.38)) if rng.random() < 0.6 else (LIGHT, box(0.45, 0.14, 0.55, 0.5))
    return [(DARK, box(0.46, 0.6, 0.54, 0.99)), (LIGHT, plate), (MAIN, inner), bar]


#: One function for each thing, named after it.
DRAWINGS: dict[str, Callable[[Generator], list[Part]]] = {name: globals()[name] for name in THINGS}
