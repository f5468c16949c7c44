"""Time of ``proxyclip score``, and the share of the counts of every image: ``python benchmarks/scoring.py``.

Predictions and labels are regions of 150 classes at 512 x 683; a tenth of the predicted pixels are noise. The share of
the counts (making, collecting and writing them) is measured in the same runs: in scoring, which is the cheapest
evaluation there is, and in one by the tiny models. Prints one JSON object.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

import proxyclip as pc
from proxyclip.data.base import Dataset
from proxyclip.evaluation.evaluator import run
from proxyclip.evaluation.metrics import Pairs
from proxyclip.evaluation.predictions import score
from proxyclip.evaluation.result import Evaluation
from proxyclip.evaluation.spread import ImageCounts
from proxyclip.system.provenance import device_line

HEIGHT, WIDTH, CLASSES = 512, 683, 150
#: What is only done for the sake of the counts of every image.
OF_COUNTS = ((Pairs, "areas"), (ImageCounts, "add"), (Evaluation, "_image_counts"))


def regions(random: np.random.Generator, noise: float) -> np.ndarray:
    """A label map of about a dozen classes in blocks of 64 pixels."""
    blocks = random.choice(random.choice(CLASSES, 12, replace=False), (HEIGHT // 64 + 1, WIDTH // 64 + 1))
    labels = blocks.repeat(64, 0).repeat(64, 1)[:HEIGHT, :WIDTH]
    wrong = random.random(labels.shape) < noise
    return np.where(wrong, random.integers(0, CLASSES, labels.shape), labels).astype(np.uint8)


def write_set(folder: Path, images: int) -> Dataset:
    """A set of one's own, with a prediction for each image in ``folder/predictions``."""
    random = np.random.default_rng(0)
    for name in ("images", "labels", "predictions"):
        (folder / name).mkdir()
    (folder / "classes.txt").write_text("\n".join(f"class {number}" for number in range(CLASSES)))
    photo = Image.effect_noise((WIDTH, HEIGHT), 60).convert("RGB")
    for number in range(images):
        photo.save(folder / "images" / f"{number:04}.jpg")
        for name, noise in (("labels", 0.0), ("predictions", 0.1)):
            Image.fromarray(regions(random, noise)).save(folder / name / f"{number:04}.png")
    return pc.folder_dataset(folder / "images", folder / "labels", folder / "classes.txt")


@contextmanager
def timed_counts() -> Iterator[list[float]]:
    """Seconds that were spent on the counts of every image."""
    spent: list[float] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent.append(time.perf_counter() - start)

        return call

    patches = [patch.object(owner, name, timed(getattr(owner, name))) for owner, name in OF_COUNTS]
    for one in patches:
        one.start()
    try:
        yield spent
    finally:
        for one in patches:
            one.stop()


def measured(work: Callable[[], Evaluation], output: Path) -> dict[str, float]:
    with timed_counts() as spent:
        start = time.perf_counter()
        found = work()
        found.save(output)
        seconds = time.perf_counter() - start
    share = round(sum(spent) / seconds, 4)
    return {"images": len(found.ids), "seconds": round(seconds, 2), "share of the counts": share}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--scenes", type=int, default=16, help="evaluated by the tiny models")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_set(folder, options.images)
        scored = measured(lambda: score({"mine": folder / "predictions"}, data), folder / "scored.json")
        scenes = pc.dataset("tiny/stuff", length=options.scenes)
        evaluated = measured(lambda: run(pc.load(), scenes, ["adaptive"]), folder / "evaluated.json")
        size = (folder / "scored.counts.npz").stat().st_size
    report = {"device": device_line(), "size": [HEIGHT, WIDTH], "classes": CLASSES, "score": scored,
              "evaluate, tiny models on tiny/stuff": evaluated, "bytes an image": round(size / options.images)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
