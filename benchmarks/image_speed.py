"""One image of 336 x 336, the package against the plain implementation, in turns: ``python benchmarks/image_speed.py``.

Prints one JSON object: seconds per image (median), ratios, and how far the results are apart.
"""

import copy
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

import torch
from comparison import compared, in_dtype, parser, precision
from plain import embed_window

import proxyclip as pc
from proxyclip.efficiency import count_macs, untrained
from proxyclip.loading import compile_blocks
from proxyclip.models import clip, vfm
from proxyclip.system.timing import cpu_threads, matmul_rate


def cast_alone(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    """The work without what this package does for bfloat16 on a CPU."""
    with patch.object(clip, "faster_products", plain_products), patch.object(vfm, "faster_products", plain_products):
        return work()


def plain_products(*_: object) -> AbstractContextManager[None]:
    return nullcontext()


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--vfm", default="dino_vitb8", help="a DINO of the registry")
    arguments.add_argument("--size", type=int, default=336)
    arguments.add_argument("--batch", type=int, default=1, help="windows per call of the package")
    arguments.add_argument("--compile", action="store_true", help="measure the package under torch.compile too")
    options = arguments.parse_args()
    torch.manual_seed(0)
    model = untrained(options.vfm, options.device, precision(options))
    pixels = torch.rand(options.batch, 3, options.size, options.size, device=options.device).to(model.dtype)

    def package(model: pc.ProxyCLIP = model) -> torch.Tensor:
        assert model.vfm is not None
        windows = pixels.to(model.dtype)
        proxy = model.vfm.features(model.vfm.normalize(windows))
        return model.clip.embed(model.clip.normalize(windows), [pc.Adaptive()], proxy)[0]

    def plain(fused: bool) -> torch.Tensor:
        return torch.stack([embed_window(model, window, fused) for window in pixels])

    ways = {"package": package, "plain": lambda: plain(False), "plain on fused backbones": lambda: plain(True)}
    if model.dtype != torch.float32 and options.device == "cpu":
        single = in_dtype(model, torch.float32)
        ways["package, float32"] = lambda: package(single)
        ways["package, both models cast"] = lambda: cast_alone(package)
    if options.compile:
        compiled = copy.deepcopy(model)
        compile_blocks(compiled)
        ways["package, compiled"] = lambda: package(compiled)
    settings = {"vfm": options.vfm, "size": options.size, "batch": options.batch,
                "dtype": str(model.dtype).removeprefix("torch."), "threads": options.threads or torch.get_num_threads()}
    report = compared(ways, options, settings, " per image", options.batch, of=" of the embeddings")
    macs = count_macs(untrained(options.vfm, "meta"), pc.Adaptive(), options.size)
    with cpu_threads(options.threads) as clock:
        rate = matmul_rate(options.device, model.dtype, clock=clock if options.device == "cpu" else time.perf_counter)
    report["share of the rate of a large matrix product in this dtype"] = round(
        macs / report["seconds per image"]["package"] / rate, 3)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
