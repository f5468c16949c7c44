"""Layouts: how each set arranges stuff and things. A layout is a function that paints on a canvas."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from proxyclip.tiny.world.classes import LISTS, STUFF, THINGS
from proxyclip.tiny.world.objects import Look
from proxyclip.tiny.world.scenes import Canvas, below, blob, pick, rectangle, right_of

Layout = Callable[[Canvas], None]

#: Probability with which stuff is chosen from the classes that are common at the top, or at the bottom, of pictures.
CONTEXT = 0.2


@dataclass(frozen=True)
class Open:
    """One to ``regions`` stuff regions and some things anywhere."""

    #: Smallest and largest number of regions and of things.
    regions: tuple[int, int]
    things: tuple[int, int]
    size: tuple[float, float]  #: Range of the things' size in pixels.
    #: Names to draw from.
    stuff: tuple[str, ...] = STUFF
    kinds: tuple[str, ...] = THINGS
    looks: tuple[tuple[str, str, str], ...] = ()  #: When given, half of the things are drawn from these combinations.

    def __call__(self, canvas: Canvas) -> None:
        rng, h, w = canvas.rng, canvas.height, canvas.width
        count = int(rng.integers(self.regions[0], self.regions[1] + 1))
        used: list[str] = []
        for i in range(count):
            hint = LISTS["upper"] if i == 0 else LISTS["lower"]
            names = tuple(n for n in hint if n in self.stuff) if rng.random() < CONTEXT else ()
            name = pick(rng, names or self.stuff, tuple(used))
            used.append(name)
            if i == 0:
                canvas.fill(name)
            elif i == 1 and rng.random() < 0.7:
                canvas.fill(name, below(canvas, rng.uniform(0.3, 0.7) * h, rng.uniform(1, 9)))
            elif rng.random() < 0.5:
                side = right_of(canvas, rng.uniform(0.3, 0.7) * w, rng.uniform(1, 9))
                canvas.fill(name, side if i == 1 else side * below(canvas, rng.uniform(0.3, 0.7) * h, 4))
            else:
                cx, cy = rng.uniform(0.1, 0.9) * w, rng.uniform(0.2, 0.95) * h
                canvas.fill(name, blob(canvas, cx, cy, rng.uniform(0.2, 0.42) * w, rng.uniform(0.16, 0.36) * h))
        self.scatter(canvas)

    def scatter(self, canvas: Canvas) -> None:
        """Place the things, small ones last, with centres kept apart where there is room."""
        rng, h, w = canvas.rng, canvas.height, canvas.width
        count = int(rng.integers(self.things[0], self.things[1] + 1))
        sizes = np.sort(np.exp(rng.uniform(np.log(self.size[0]), np.log(self.size[1]), count)))[::-1]
        placed: list[tuple[float, float, float]] = []
        for size in sizes:
            look, thing = None, pick(rng, self.kinds)
            if self.looks and rng.random() < 0.5:
                colour, pattern, thing = self.looks[int(rng.integers(len(self.looks)))]
                look = Look(colour, pattern)
            spots = np.stack([rng.uniform(0.06, 0.94, 6) * w, rng.uniform(0.1, 0.92, 6) * h], axis=-1)
            room = [
                min((np.hypot(x - a, y - b) - 0.4 * (size + s) for a, b, s in placed), default=1e3) for x, y in spots
            ]
            best = int(np.argmax(np.minimum(room, 12.0)))
            x, y = (float(v) for v in spots[best])
            canvas.put(thing, float(size), (x, y), look)
            placed.append((x, y, float(size)))


def street(canvas: Canvas) -> None:
    """A street seen from the side: sky, walls and houses, a pavement with lamps, signs and trees, a road with cars."""
    rng, h, w = canvas.rng, canvas.height, canvas.width
    base, kerb = rng.uniform(0.56, 0.66) * h, rng.uniform(0.7, 0.78) * h
    canvas.fill(pick(rng, LISTS["street_back"]) if rng.random() < 0.35 else "sky")
    for _ in range(int(rng.integers(0, 3))):
        canvas.put("cloud", rng.uniform(16, 34), (rng.uniform(0, w), rng.uniform(0.06, 0.24) * h))
    x = rng.uniform(-30, 20)
    while x < w:  # walls between gaps
        length = rng.uniform(36, 90)
        if rng.random() < 0.6:
            wall = pick(rng, LISTS["street_wall"])
            canvas.fill(wall, rectangle(canvas, x, rng.uniform(0.26, 0.46) * h, x + length, base))
        x += length + rng.uniform(0, 26)
    canvas.fill(pick(rng, LISTS["street_pavement"]), below(canvas, base, 0.6))
    canvas.fill("road", below(canvas, kerb, 0.6))
    x = rng.uniform(0, 30)
    while x < w:
        kind = pick(rng, ("house", "tree", "house", "tree", "lamp", "sign"))
        size = rng.uniform(30, 54) if kind in ("house", "tree") else rng.uniform(22, 40)
        canvas.put(kind, size, (x, base + rng.uniform(0.0, 0.09) * h - 0.45 * size))
        x += size * rng.uniform(0.7, 1.8)
    for _ in range(int(rng.integers(1, 4) * w / 128)):
        kind = pick(rng, ("flower", "sign", "lamp", "ball", "flower"))
        size = rng.uniform(13, 26)
        canvas.put(kind, size, (rng.uniform(0, w), kerb - rng.uniform(0, 0.06) * h - 0.35 * size))
    lanes = np.sort(rng.uniform(kerb + 0.04 * h, 0.97 * h, int(rng.integers(2, 4) * w / 128)))
    for y in lanes:
        size = rng.uniform(20, 38)
        canvas.put("car" if rng.random() < 0.9 else "ball", size, (rng.uniform(0, w), y - 0.25 * size))


def indoor(canvas: Canvas) -> None:
    """A room: wall, floor, sometimes a rug and a window to the sky, furniture and small things."""
    rng, h, w = canvas.rng, canvas.height, canvas.width
    edge = rng.uniform(0.52, 0.7) * h
    wall = pick(rng, LISTS["indoor_wall"])
    canvas.fill(wall)
    if rng.random() < 0.5:
        x, y = rng.uniform(0.06, 0.6) * w, rng.uniform(0.06, 0.14) * h
        canvas.fill("sky", rectangle(canvas, x, y, x + rng.uniform(26, 46), y + rng.uniform(26, 42)))
    floor = pick(rng, LISTS["indoor_floor"], (wall,))
    canvas.fill(floor, below(canvas, edge, rng.uniform(0, 1.5)))
    if rng.random() < 0.6:
        rug = pick(rng, ("carpet", "carpet", "leaves", "grass") if floor != "carpet" else ("tiles", "wood"))
        canvas.fill(rug, blob(canvas, rng.uniform(0.25, 0.75) * w, rng.uniform(0.8, 0.92) * h, 0.3 * w, 0.12 * h))
    for _ in range(int(rng.integers(1, 3))):
        kind, size = pick(rng, LISTS["indoor_hanging"]), rng.uniform(16, 30)
        canvas.put(kind, size, (rng.uniform(0.1, 0.9) * w, rng.uniform(0.12, 0.4) * h))
    for x in rng.permutation(np.linspace(0.12, 0.88, 4))[: int(rng.integers(2, 5))]:
        kind = pick(rng, LISTS["indoor_standing"])
        size = rng.uniform(38, 60) if kind in ("chair", "lamp") else rng.uniform(18, 36)
        canvas.put(kind, size, (float(x) * w + rng.uniform(-6, 6), edge + rng.uniform(0.02, 0.26) * h - 0.4 * size))
