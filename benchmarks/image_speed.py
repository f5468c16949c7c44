"""One image of 336 x 336, the package against the plain implementation, in turns: ``python benchmarks/image_speed.py``.

Prints one JSON object: seconds per image (median), ratios, and how far the results are apart.
"""

from __future__ import annotations

import argparse
import copy
import json

import torch
from plain import embed_window

import proxyclip as pc
from proxyclip.efficiency import untrained
from proxyclip.loading import compile_blocks
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import compare, cpu_threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vfm", default="dino_vitb8", help="a DINO of the registry")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=336)
    parser.add_argument("--batch", type=int, default=1, help="windows per call of the package")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="1 measures the time of one core by its own clock")
    parser.add_argument("--compile", action="store_true", help="measure the package under torch.compile too")
    options = parser.parse_args()
    on_gpu = torch.device(options.device).type == "cuda"
    torch.manual_seed(0)
    model = untrained(options.vfm, options.device, torch.float16 if on_gpu else torch.float32)
    pixels = torch.rand(options.batch, 3, options.size, options.size, device=options.device).to(model.dtype)

    def package(model: pc.ProxyCLIP = model) -> torch.Tensor:
        proxy = model.vfm.features(model.vfm.normalize(pixels))
        return model.clip.embed(model.clip.normalize(pixels), [pc.Adaptive()], proxy)[0]

    def plain(fused: bool) -> torch.Tensor:
        return torch.stack([embed_window(model, window, fused) for window in pixels])

    ways = {"package": package, "plain": lambda: plain(False), "plain on fused backbones": lambda: plain(True)}
    if options.compile:
        compiled = copy.deepcopy(model)
        compile_blocks(compiled)
        ways["package, compiled"] = lambda: package(compiled)
    with cpu_threads(options.threads) as clock, torch.inference_mode():
        expected = package()
        difference = max((way() - expected).abs().max().item() for way in ways.values())
        timings = compare(ways, options.device, options.repeats, clock=clock)
    seconds = {name: timing.median / options.batch for name, timing in timings.items()}
    print(json.dumps({
        "device": device_line(), "vfm": options.vfm, "size": options.size, "batch": options.batch,
        "threads": options.threads or torch.get_num_threads(),
        "seconds per image": {name: round(value, 4) for name, value in seconds.items()},
        "times as fast": {name: round(value / seconds["package"], 2) for name, value in seconds.items()},
        "largest difference of the embeddings": difference,
    }, indent=2))


if __name__ == "__main__":
    main()
