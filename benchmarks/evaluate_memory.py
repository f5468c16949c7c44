"""Evaluating 847 classes on images of 512 x 683: ``python benchmarks/evaluate_memory.py --threads 1``.

Prints one JSON object: for each foundation model the seconds an image and the most MiB of tensors held at once beside
the weights, with one window at a time and with several. SAM sees each window at 1024 x 1024. The rows of the vocabulary
are drawn at random, like the weights; ``text_speed.py`` measures text.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from proxyclip.data.base import Dataset
from proxyclip.data.datasets import dataset
from proxyclip.evaluation import evaluator
from proxyclip.evaluation.result import Evaluation
from proxyclip.loading import load, with_vfm
from proxyclip.segment import ProxyCLIP
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import cpu_threads, extra_memory, synchronise

SIZE = (512, 683)


def images(root: Path, count: int) -> Dataset:
    """ADE20K-847 in its layout, with pictures and labels drawn at random."""
    rng = np.random.default_rng(0)
    for folder in ("images_detectron2/validation", "annotations_detectron2/validation"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        coarse = rng.integers(0, 256, (16, 20, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        picture.save(root / "images_detectron2/validation" / f"{number}.jpg")
        labels = np.kron(rng.integers(0, 847, (16, 20)), np.ones((32, 35)))[: SIZE[0], : SIZE[1]].astype(np.uint16)
        Image.fromarray(labels).save(root / "annotations_detectron2/validation" / f"{number}.tif")
    return dataset("ade847", root)


def rows_at_random(queries: Sequence[str]) -> torch.Tensor:
    """Unit rows of CLIP ViT-B/16's width, (Q, 512)."""
    return torch.nn.functional.normalize(torch.randn(len(queries), 512, generator=torch.manual_seed(1)), dim=1)


def measure(model: ProxyCLIP, data: Dataset, threads: int | None) -> tuple[dict[str, float], Evaluation]:
    """Evaluate once; seconds an image, MiB, and what was counted."""
    found: list[Evaluation] = []
    with cpu_threads(threads) as clock:
        start = clock()
        memory = extra_memory(lambda: found.append(evaluator.run(model, data)), model.device)
        synchronise(model.device)
        seconds = clock() - start
    return {"seconds an image": round(seconds / len(data), 2), "MiB": round(memory / 2**20, 1)}, found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vfm", nargs="+", default=["dino_vitb8", "sam_vit_b"])
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="windows at a time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="1 measures the time of one core by its own clock")
    options = parser.parse_args()
    dtype = torch.float16 if torch.device(options.device).type == "cuda" else torch.float32
    torch.manual_seed(0)
    model = load("paper", clip_weights="random", vfm=None, device=options.device, dtype=dtype)
    model.clip.encode_queries = rows_at_random
    report: dict[str, object] = {"device": device_line(), "size": list(SIZE), "classes": 847, "images": options.images}
    with tempfile.TemporaryDirectory() as folder:
        data = images(Path(folder), options.images)
        for vfm in options.vfm:
            loaded = with_vfm(model, vfm, "random")
            boxes = evaluator.under_protocol(loaded, data).prepare_windows(np.array(data[0].image)).boxes
            rows, counts = {}, []
            for batch in options.batch:
                costs, found = measure(replace(loaded, batch=batch), data, options.threads)
                rows[f"windows at a time: {batch}"] = costs
                counts.append(found.tally.confusions[0].counts)
            moved = max(int(np.abs(other - counts[0]).sum()) // 2 for other in counts)
            report[vfm] = {"windows": len(boxes), **rows, "pixels labelled otherwise": moved}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
