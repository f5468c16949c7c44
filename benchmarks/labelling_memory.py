"""Peak memory and time of labelling 847 classes at 512 x 683, all at once and a few queries at a time.

Run it as ``python benchmarks/labelling_memory.py``; it prints one JSON object. Each way is measured in a
process of its own, as the growth of the largest resident set over what the process held before (megabytes).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from proxyclip.data import vocab
from proxyclip.inference.embedding import DenseEmbedding
from proxyclip.inference.labels import LOGIT_SCALE, labels_from_embedding
from proxyclip.inference.windows import window_boxes, window_padding, working_size
from proxyclip.text import TextEmbeddings


def embedding_of_ade(size: tuple[int, int], patch: int = 8, width: int = 512) -> DenseEmbedding:
    """Random unit embeddings in the shape that ADE847's protocol and a ViT-B/8 give an image of this size."""
    working = working_size(*size, 448)
    boxes = window_boxes(*working, 336, 112)
    windows = torch.randn(len(boxes), width, 336 // patch, 336 // patch, generator=torch.manual_seed(0))
    windows = torch.nn.functional.normalize(windows, dim=1)
    return DenseEmbedding(windows, tuple(boxes), window_padding(336, 336, 56, 336), working, size)


def measure(way: str, threshold: float | None, size: tuple[int, int], labels: Path) -> dict[str, float]:
    """Label once in this process and report what it took."""
    vocabulary = vocab.load("ade847")
    rows = torch.randn(len(vocabulary.queries), 512, generator=torch.manual_seed(1))
    text = TextEmbeddings(vocabulary, torch.nn.functional.normalize(rows, dim=1))
    embedding = embedding_of_ade(size)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    if way == "chunks":
        result = labels_from_embedding(embedding, text, threshold)
    else:
        logits = embedding.logits(text.embeddings)
        best, query = (LOGIT_SCALE * logits).softmax(dim=0).max(dim=0)
        result = torch.tensor(vocabulary.class_of_query)[query]
        result = result if threshold is None else result.masked_fill(best < threshold, 0)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    np.save(labels, result.numpy())
    return {"peak_mb": peak / 1024, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(512, 683), metavar=("H", "W"))
    parser.add_argument("--threshold", type=float, default=None)
    parser.add_argument("--way", choices=("chunks", "whole"), help=argparse.SUPPRESS)
    parser.add_argument("--labels", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.threshold, tuple(options.size), options.labels)))
        return
    report: dict[str, object] = {"classes": 847, "size": list(options.size), "threshold": options.threshold}
    labels = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ("whole", "chunks"):
            file = Path(folder) / f"{way}.npy"
            child = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--way", way, "--labels", str(file)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            report[way] = json.loads(child.stdout)
            labels[way] = np.load(file)
    report["memory_ratio"] = report["chunks"]["peak_mb"] / report["whole"]["peak_mb"]
    report["different_labels"] = int((labels["whole"] != labels["chunks"]).sum())
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
