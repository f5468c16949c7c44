"""Damage every kind of input at random: each is read, or refused with one sentence that names the file.

    python benchmarks/fuzz.py --seconds 600 --seed 1

A target is a function that takes a random generator and an empty folder and reads something damaged. It may raise
``ValueError`` or ``OSError``, whose message is one sentence; anything else is a fault. tests/data/test_fuzz.py runs the
same targets for a few seconds with a fixed seed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip import read_image
from proxyclip.data import folders, vocab
from proxyclip.data.samples import read_labels

Target = Callable[[random.Random, Path], object]
TARGETS: dict[str, Target] = {}
ALLOWED = (ValueError, OSError)


def target(function: Target) -> Target:
    """Register a target under its name."""
    TARGETS[function.__name__] = function
    return function


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, cut off, repeated or put in."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if place < len(data):
                data[place] = rng.randrange(256)
            case 1 if place:
                del data[place:]
            case 2:
                data[place:place] = rng.randbytes(rng.randint(1, 8))
            case _:
                data[place:place] = data[: rng.randint(0, 16)]
    return bytes(data)


def write_damaged(path: Path, rng: random.Random, save: Callable[[Path], object]) -> Path:
    """Write a file with ``save`` and damage it."""
    save(path)
    path.write_bytes(damaged(path.read_bytes(), rng))
    return path


def picture(rng: random.Random, mode: str) -> Image.Image:
    """A small picture of noise in a mode of Pillow."""
    return Image.frombytes("RGB", (9, 7), rng.randbytes(9 * 7 * 3)).convert(mode)


@target
def images(rng: random.Random, folder: Path) -> object:
    ending = rng.choice(["png", "jpg", "webp", "avif", "tif", "bmp", "gif", "ppm", "ico"])
    mode = rng.choice(["RGB", "L", "P"]) if ending in ("png", "tif", "gif") else "RGB"
    return read_image(write_damaged(folder / f"photo.{ending}", rng, picture(rng, mode).save))


@target
def label_files(rng: random.Random, folder: Path) -> object:
    ending = rng.choice(["png", "tif", "npy"])
    labels = np.frombuffer(rng.randbytes(63), np.uint8).reshape(7, 9) % 5
    save = (lambda path: np.save(path, labels)) if ending == "npy" else Image.fromarray(labels).save
    return read_labels(write_damaged(folder / f"labels.{ending}", rng, save), 5, 255, False)


@target
def class_lists(rng: random.Random, folder: Path) -> object:
    content = "sky; cloud\nBäume\ngrass\n".encode(rng.choice(["utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return vocab.read(write_damaged(folder / "names.txt", rng, lambda path: path.write_bytes(content)))


@target
def data_trees(rng: random.Random, folder: Path) -> object:
    for part in ("images", "labels"):
        (folder / "my_set" / part).mkdir(parents=True)
    for name in rng.sample(["a", "b c", "._d", "é", "f" * 200], 3):
        picture(rng, "RGB").save(folder / "my_set/images" / f"{name}.png")
        write_damaged(folder / "my_set/labels" / f"{name}.png", rng, picture(rng, "L").save)
    (folder / "my_set/classes.txt").write_text("sky\ngrass\n")
    write_damaged(folder / "my_set/dataset.yaml", rng, lambda path: path.write_text("ignored: 9\nshort_side: null\n"))
    data = folders.find("my_set", folder)
    return None if data is None else [data[index] for index in range(len(data))]


def run(names: list[str], seconds: float, seed: int) -> tuple[Counter, list[str]]:
    """Number of tries by target, and the traceback of every fault with the seed that repeats it."""
    tries, faults, end = Counter[str](), [], time.monotonic() + seconds
    while time.monotonic() < end:
        name = names[sum(tries.values()) % len(names)]
        own = f"{seed}-{name}-{tries[name]}"
        tries[name] += 1
        with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                TARGETS[name](random.Random(own), Path(place))
            except ALLOWED as error:
                if not str(error).strip():
                    faults.append(f"{own}: {type(error).__name__} without a sentence")
            except Exception:
                faults.append(f"{own}:\n{traceback.format_exc()}")
    return tries, faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=TARGETS)
    given = parser.parse_args()
    counted, found = run(given.target or list(TARGETS), given.seconds, given.seed)
    print(dict(counted), f"{len(found)} faults", *found, sep="\n")
    raise SystemExit(bool(found))
