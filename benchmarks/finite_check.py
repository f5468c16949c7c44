"""Share of the time of a window that the checks for NaN and infinity take: ``python benchmarks/finite_check.py``.

Both times come from one run: the clock of the thread stops while other programs have the core. Prints one JSON object.
"""

import json
import time

import numpy as np
import torch
from comparison import clocked, parser

import proxyclip as pc
from proxyclip import segment
from proxyclip.efficiency import untrained
from proxyclip.inference import windows
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import cpu_threads


def share(model: pc.ProxyCLIP, image: np.ndarray, repeats: int) -> dict[str, float]:
    """Milliseconds of a window with everything, and the per cent of them that the checks take."""
    count = len(model.prepare_windows(image).boxes)
    model.embed(image, [pc.Adaptive()])
    with clocked([(windows, "check_finite", "features"), (segment, "check_finite", "embeddings")]) as spent:
        begun = time.thread_time()
        for _ in range(repeats):
            model.embed(image, [pc.Adaptive()])
        total = time.thread_time() - begun
    assert len(spent) == 2, "a check is called elsewhere"
    checks = sum(spent.values())
    return {"ms per window": round(1e3 * total / repeats / count, 2), "checks, %": round(100 * checks / total, 3)}


def main() -> None:
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("--vfm", default="dino_vitb16", help="of the full-size model, with random weights")
    arguments.add_argument("--tiny", action="store_true", help="only the tiny models")
    options = arguments.parse_args()
    noise = np.random.default_rng(0).integers(0, 256, (336, 336, 3), np.uint8)
    with cpu_threads(1), torch.inference_mode():
        found = {"tiny": share(pc.load(), noise[:128, :128], options.repeats)}
        if not options.tiny:
            found[options.vfm] = share(untrained(options.vfm), noise, options.repeats)
    print(json.dumps({"device": device_line(), **found}, indent=2))


if __name__ == "__main__":
    main()
