"""Text embeddings of a class list, the package against the plain implementation: ``python benchmarks/text_speed.py``.

Prints one JSON object: seconds per query with its 80 prompts, how many times as fast, and how far the results are
apart.
"""

from __future__ import annotations

import argparse
import json

import torch
from plain import encode_queries

from proxyclip.data import vocab
from proxyclip.efficiency import untrained
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import compare, cpu_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", default="ade150", help="a class list of the package")
    parser.add_argument("--queries", type=int, default=4, help="the first so many queries")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, help="1 measures the time of one core by its own clock")
    options = parser.parse_args()
    dtype = torch.float16 if torch.device(options.device).type == "cuda" else torch.float32
    torch.manual_seed(0)
    clip = untrained(None, options.device, dtype).clip
    queries = vocab.load(options.vocabulary).queries[: options.queries]

    def package() -> torch.Tensor:
        clip._text_cache.clear()  # embeddings are kept; here they must be made
        return clip.encode_queries(queries)

    def plain() -> torch.Tensor:
        return encode_queries(clip, queries)

    with cpu_threads(options.threads) as clock, torch.inference_mode():
        difference = (package() - plain()).abs().max().item()
        timings = compare({"package": package, "plain": plain}, options.device, options.repeats, 0, clock)
    print(json.dumps({
        "device": device_line(), "queries": len(queries), "prompts": len(queries) * len(clip.templates),
        "seconds per query": {name: round(timing.median / len(queries), 4) for name, timing in timings.items()},
        "times as fast": round(timings["plain"].median / timings["package"].median, 2),
        "largest difference of the embeddings": difference,
    }, indent=2))


if __name__ == "__main__":
    main()
