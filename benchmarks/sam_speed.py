"""SAM's encoder at 1024 x 1024, fused attention against timm's own: ``python benchmarks/sam_speed.py``.

Prints one JSON object: seconds and MiB beyond inputs and weights, for both, and their ratios.
"""

from __future__ import annotations

import argparse
import copy
import json

import torch

from proxyclip.models.registry import VFMS
from proxyclip.models.relative_attention import share_relative_attention
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import compare, cpu_threads, extra_memory

import timm  # isort: skip  (after the package, which declares torchvision's schemas)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vfm", default="sam_vit_b", help="a SAM of the registry")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="1 measures the time of one core by its own clock")
    options = parser.parse_args()
    dtype = torch.float16 if torch.device(options.device).type == "cuda" else torch.float32
    torch.manual_seed(0)
    plain = timm.create_model(VFMS[options.vfm].model, num_classes=0).eval().requires_grad_(False)
    for name, table in plain.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.1)  # zero in an untrained model
    plain = plain.to(options.device, dtype)
    package = copy.deepcopy(plain)
    share_relative_attention(package)
    pixels = torch.randn(1, 3, options.size, options.size, device=options.device, dtype=dtype)
    ways = {name: lambda model=model: model.forward_features(pixels)
            for name, model in (("package", package), ("plain", plain))}
    with cpu_threads(options.threads) as clock, torch.inference_mode():
        difference = (ways["package"]() - ways["plain"]()).abs().max().item()
        memory = {name: extra_memory(way, options.device) / 2**20 for name, way in ways.items()}
        timings = compare(ways, options.device, options.repeats, warmup=0, clock=clock)
    print(json.dumps({
        "device": device_line(), "vfm": options.vfm, "size": options.size,
        "MiB": {name: round(value, 1) for name, value in memory.items()},
        "share of the plain memory": round(memory["package"] / memory["plain"], 4),
        "seconds": {name: round(timing.median, 4) for name, timing in timings.items()},
        "times as fast": round(timings["plain"].median / timings["package"].median, 2),
        "largest difference": difference,
    }, indent=2))


if __name__ == "__main__":
    main()
