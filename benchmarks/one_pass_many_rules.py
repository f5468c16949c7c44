"""What 25 Adaptive rules cost in one pass, against one rule and against 25 passes.

Run it as ``python benchmarks/one_pass_many_rules.py [--profile paper]``; it prints one JSON object. Weights
are untrained, which costs the same as trained ones. Times are seconds per image of everything an evaluation
does: reading, backbones, attention, labels and counting; the best of several alternating repetitions. On the
CPU it is processor time, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time

import numpy as np
import torch
from PIL import Image

import proxyclip as pc
from proxyclip.data import vocab
from proxyclip.data.base import Dataset, Sample
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.evaluation.evaluator import run

GRID = [pc.Adaptive(b, g) for b, g in itertools.product((0.8, 1.0, 1.2, 1.4, 1.6), (1.0, 2.0, 3.0, 4.0, 5.0))]


class Noise(Dataset):
    """Random pictures under the protocol and the vocabulary of a benchmark."""

    def __init__(self, name: str, images: int, size: tuple[int, int] = (375, 500)) -> None:
        self.name, self.vocabulary, self.protocol = name, vocab.load(name), BENCHMARKS[name].protocol
        self.images, self.size = images, size

    def __len__(self) -> int:
        return self.images

    def sample_id(self, index: int) -> str:
        return str(index)

    def signature(self) -> dict[str, object]:
        return {"name": self.name, "images": self.images}

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 256, (*self.size, 3), np.uint8)
        labels = rng.integers(0, len(self.vocabulary), self.size).astype(np.int32)
        return Sample(str(index), Image.fromarray(pixels), labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=("tiny", "paper"), default="tiny")
    parser.add_argument("--vfm", help="default: that of the profile")
    parser.add_argument("--dataset", help="default: tiny/voc, or noise under the protocol of voc20")
    parser.add_argument("--images", type=int, help="default: 8, or 1")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    tiny = options.profile == "tiny"
    images = options.images or (8 if tiny else 1)
    torch.manual_seed(0)
    chosen = {"vfm": options.vfm} if options.vfm else {}
    model = pc.load(
        options.profile, clip_weights="random", vfm_weights="random", device=options.device,
        dtype=getattr(torch, options.dtype), **chosen,
    )  # fmt: skip
    name = options.dataset or ("tiny/voc" if tiny else "voc20")
    data = pc.dataset(name, length=images) if tiny else Noise(name, images)
    run(model, data, GRID[:1])  # text embeddings and first-time costs
    clock = time.perf_counter if options.device == "cuda" else time.process_time
    best = {1: float("inf"), len(GRID): float("inf")}
    for _ in range(options.repeat):
        for count in best:
            start = clock()
            run(model, data, GRID[:count])
            if options.device == "cuda":
                torch.cuda.synchronize()
            best[count] = min(best[count], (clock() - start) / images)
    report = {
        "profile": options.profile, "vfm": model.vfm.name, "dataset": name, "images": images,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "dtype": options.dtype, "threads": torch.get_num_threads(), "torch": torch.__version__,
        "one_rule_s": best[1], "one_pass_25_rules_s": best[len(GRID)], "25_passes_s": len(GRID) * best[1],
        "ratio_to_one_rule": best[len(GRID)] / best[1],
    }  # fmt: skip
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
