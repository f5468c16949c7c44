"""Damage every kind of input at random: each is read, or refused with one sentence that names the file.

    python benchmarks/fuzz.py --seconds 600 --seed 1

A target is a function that takes a random generator and an empty folder and reads something damaged. It may raise
``ValueError`` or ``OSError``, whose message is one sentence; anything else is a fault. tests/data/test_fuzz.py runs the
same targets for some seconds with a fixed seed, and .ci/run for the rest of a minute.
"""

import argparse
import io
import json
import random
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from book.pages.ledger_page import all_verdicts, ledger_table
from proxyclip import read_image
from proxyclip.cli.score_commands import results_table
from proxyclip.data import folders, vocab
from proxyclip.data.samples import read_labels
from proxyclip.models.weights.formats import read_state_dict
from proxyclip.rules import parse_rule
from proxyclip.supplement.claims.ledger import judge_by_vfm
from proxyclip.supplement.figures import tables
from proxyclip.supplement.parameters import CHECKS, validate
from proxyclip.supplement.records import Record, Result, Verdict, table
from proxyclip.supplement.result_files import load, save
from proxyclip.supplement.typed_values import from_command_line
from proxyclip.system.own_files import CHECKSUM, with_checksum

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


@target
def weights(rng: random.Random, folder: Path) -> object:
    import torch
    from safetensors.torch import save_file

    state = {f"blocks.{number}.weight": torch.ones(2, 3) for number in range(3)}
    ending, save = rng.choice([
        ("pt", lambda path: torch.save({"model": state, "epoch": 3}, path)),
        ("pth", lambda path: torch.save(state, path, _use_new_zipfile_serialization=False)),
        ("safetensors", lambda path: save_file(state, path))])
    read, _ = read_state_dict(write_damaged(folder / f"weights.{ending}", rng, save))
    return read


@target
def rules(rng: random.Random, folder: Path) -> object:
    words = ("adaptive", "hard", "qk", "qq", "identity", "sclip", "gem", "naclip", "clearclip", ":", ",", "/", "=", "+",
             "1.2", "-3", "1e999", "nan", "dot", "each", "block", "attention", "depth", " ", "é", "")
    return parse_rule("".join(rng.choices(words, k=rng.randint(0, 6))))


@target
def parameters(rng: random.Random, folder: Path) -> object:
    words = ("[", "]", "{", "}", ",", ":", '"', "1", "-2.5", "tiny/voc", "None", "True", "9" * 400, "1e400", "adaptive",
             "\\", "2024-05-01", "é", "\0", "../x", " ", "tiny_sam", "qq/each")
    text = "".join(rng.choices(words, k=rng.randint(0, 7)))
    section, name = rng.choice("ABCDEFGH"), rng.choice(list(CHECKS))
    return validate(section, "tiny", **{name: from_command_line(text)})


def changed(value: object, rng: random.Random) -> object:
    """A JSON value with one of its fields replaced, removed or put in."""
    if isinstance(value, dict | list) and value and rng.random() < 0.97:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        deep = [key for key in keys if isinstance(value[key], dict | list) and value[key]]
        key, copy = rng.choice(deep if deep and rng.random() < 0.9 else keys), value.copy()
        if rng.random() < 0.03:
            del copy[key]
        else:
            copy[key] = changed(value[key], rng)
        return copy
    if rng.random() < 0.6 and type(value) in (str, int, float):  # of the same type, so that the file is read
        alike: dict[type, list[Any]] = {str: ["", "x", "<b>", "é", "tiny/voc", "qq", "hard:2", "E9", "holds"],
                                        int: [0, 1, 7, 2**40], float: [0.0, -1.5, 1e308, 5e-324]}
        return rng.choice(alike[type(value)])
    return rng.choice([None, True, -1, 1e308, 2**70, "", "x", "<b>", "\ud800", "9" * 9, [], [1], {}, {"x": 1}, "tiny",
                       "adaptive:1.2,3", float("nan")])


@target
def result_files(rng: random.Random, folder: Path) -> object:
    kept = {"cards": {"tiny/voc": {"name": "tiny/voc@1", "sha256": "0"}}, "versions": {"torch": "2.6"}, "limit": 4,
            "weights_sha256": {"tiny_sam": "0"}, "machine": "a", "seconds": 1.5, "parameters": {}}
    scores = {"adaptive:1.2,3": 40.0, "qq": 30.0, "qk": 31.0, "kk": 32.0, "identity": 38.0}
    records = [Record("E", "tiny", "miou", value, "%", "tiny/voc", "tiny_sam", rule, n=4, seed=9001, error=0.5)
               for rule, value in scores.items()]
    path = save(folder / "run" / "E.json", Result("E", "tiny", records, [Verdict("E3", "holds", "Yes.")], kept))
    content = json.loads(path.read_text())
    del content[CHECKSUM]
    for _ in range(rng.randint(1, 3)):
        content = changed(content, rng)
    path.write_text(json.dumps(with_checksum(content) if isinstance(content, dict) and rng.random() < 0.9 else content))
    with redirect_stderr(io.StringIO()):
        results_table(folder)  # names the file and leaves it out
    result = load(path)
    judge_by_vfm(result.records, result.section)
    return [table(result.records), tables.card_notes({"run": result}), tables.runs(result, {"run": result}),
            ledger_table(all_verdicts(folder / "none", folder))]


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
