"""Share of the time of a window that the checks for NaN and infinity take: ``python benchmarks/finite_check.py``.

Both times come from one run: the clock of the thread stops while other programs have the core. Prints one JSON object.
"""

import json
import time
from unittest.mock import patch

import numpy as np
import torch
from comparison import parser

import proxyclip as pc
from proxyclip.efficiency import untrained
from proxyclip.system.finite import check_finite
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import cpu_threads

#: Where the check is called.
CALLERS = ("proxyclip.inference.windows", "proxyclip.segment")


def share(model: pc.ProxyCLIP, image: np.ndarray, repeats: int) -> dict[str, float]:
    """Milliseconds of a window with everything, and the per cent of them that the checks take."""
    spent: list[float] = []

    def timed(*given: object) -> None:
        begun = time.thread_time()
        check_finite(*given)
        spent.append(time.thread_time() - begun)

    def whole() -> object:
        return model.embed(image, [pc.Adaptive()])

    windows = len(model.prepare_windows(image).boxes)
    whole()
    with patch.multiple(CALLERS[0], check_finite=timed), patch.multiple(CALLERS[1], check_finite=timed):
        begun = time.thread_time()
        for _ in range(repeats):
            whole()
        total = time.thread_time() - begun
    assert len(spent) >= 2 * repeats, "a check is called elsewhere"
    return {"ms per window": round(1e3 * total / repeats / windows, 2), "checks, %": round(100 * sum(spent) / total, 3)}


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
