"""One image of 336 x 336, the package against the plain implementation, in turns: ``python benchmarks/image_speed.py``.

Prints one JSON object: seconds per image (median), ratios, and how far the results are apart.
"""

from __future__ import annotations

import copy
import json

import torch
from comparison import compared, parser, precision
from plain import embed_window

import proxyclip as pc
from proxyclip.efficiency import untrained
from proxyclip.loading import compile_blocks


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--vfm", default="dino_vitb8", help="a DINO of the registry")
    arguments.add_argument("--size", type=int, default=336)
    arguments.add_argument("--batch", type=int, default=1, help="windows per call of the package")
    arguments.add_argument("--compile", action="store_true", help="measure the package under torch.compile too")
    options = arguments.parse_args()
    torch.manual_seed(0)
    model = untrained(options.vfm, options.device, precision(options.device))
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
    settings = {"vfm": options.vfm, "size": options.size, "batch": options.batch,
                "threads": options.threads or torch.get_num_threads()}
    report = compared(ways, options, settings, " per image", options.batch, of=" of the embeddings")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
