"""Memory and time of the proxy attention on SAM's 64 x 64 features: ``python benchmarks/head_memory.py``.

Prints one JSON object: MiB beyond the inputs, for the package and for the plain implementation, and their ratio.
"""

from __future__ import annotations

import argparse
import json

import torch
import torch.nn.functional as F
from plain import proxy_attention

from proxyclip.attention import masked_attention, mean_similarity, unit
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import compare, cpu_threads, extra_memory

CLIP_GRID, HEADS, WIDTH = 21, 12, 768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--side", type=int, default=64, help="features per side; SAM has 64, DINO-B/8 has 42")
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="1 measures the time of one core by its own clock")
    options = parser.parse_args()
    dtype = torch.float16 if torch.device(options.device).type == "cuda" else torch.float32
    torch.manual_seed(0)
    features = torch.randn(1, options.channels, options.side, options.side, device=options.device) + 0.3
    values = torch.randn(1, WIDTH, CLIP_GRID, CLIP_GRID, device=options.device).to(dtype)
    features = features.to(dtype)

    def package() -> torch.Tensor:
        fine = F.interpolate(values, size=features.shape[-2:], mode="bilinear", align_corners=False)
        rows = unit(features.flatten(2).transpose(1, 2))
        pairs = [(3.0, 1.2 * mean_similarity(rows, rows))]
        return masked_attention(rows, rows, fine.flatten(2).transpose(1, 2), pairs)[0]

    def plain() -> torch.Tensor:
        return proxy_attention(features, values.unflatten(1, (HEADS, -1))).transpose(1, 2).flatten(2)

    ways = {"package": package, "plain": plain}
    with cpu_threads(options.threads) as clock, torch.inference_mode():
        difference = (package() - plain()).abs().max().item()
        memory = {name: extra_memory(way, options.device) / 2**20 for name, way in ways.items()}
        timings = compare(ways, options.device, options.repeats, clock=clock)
    print(json.dumps({
        "device": device_line(), "tokens": options.side**2,
        "MiB": {name: round(value, 1) for name, value in memory.items()},
        "share of the plain memory": round(memory["package"] / memory["plain"], 4),
        "seconds": {name: round(timing.median, 4) for name, timing in timings.items()},
        "times as fast": round(timings["plain"].median / timings["package"].median, 2),
        "largest difference": difference,
    }, indent=2))


if __name__ == "__main__":
    main()
