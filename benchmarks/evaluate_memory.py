"""Evaluating 847 classes on images of 512 x 683: ``python benchmarks/evaluate_memory.py --threads 1``.

Prints one JSON object: for each foundation model the seconds an image and the most MiB of tensors held at once beside
the weights, with one window at a time and with several. SAM sees each window at 1024 x 1024. The rows of the vocabulary
are drawn at random, like the weights; ``part_speed.py text`` measures text.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch
from comparison import parser, precision
from one_pass_many_rules import Noise

from proxyclip.data.base import Dataset
from proxyclip.evaluation import evaluator
from proxyclip.evaluation.result import Evaluation
from proxyclip.loading import load, with_vfm
from proxyclip.segment import ProxyCLIP
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import cpu_threads, extra_memory, synchronise

SIZE = (512, 683)


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
    arguments = parser(__doc__, repeats=None)
    arguments.add_argument("--vfm", nargs="+", default=["dino_vitb8", "sam_vit_b"])
    arguments.add_argument("--images", type=int, default=1)
    arguments.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="windows at a time")
    options = arguments.parse_args()
    torch.manual_seed(0)
    model = load("paper", clip_weights="random", vfm=None, device=options.device, dtype=precision(options))
    patch.object(model.clip, "encode_queries", rows_at_random).start()
    report: dict[str, object] = {"device": device_line(), "size": list(SIZE), "classes": 847, "images": options.images}
    data = Noise("ade847", options.images, SIZE)
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
