"""Memory and time of the proxy attention on SAM's 64 x 64 features: ``python benchmarks/head_memory.py``.

Prints one JSON object: MiB beyond the inputs, for the package and for the plain implementation, and their ratio.
"""

import json

import torch
import torch.nn.functional as F
from comparison import compared, parser, precision
from plain import proxy_attention

from proxyclip.attention import masked_attention, mean_similarity, unit

CLIP_GRID, HEADS, WIDTH = 21, 12, 768


def main() -> None:
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("--side", type=int, default=64, help="features per side; SAM has 64, DINO-B/8 has 42")
    arguments.add_argument("--channels", type=int, default=256)
    options = arguments.parse_args()
    dtype = precision(options)
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
    print(json.dumps(compared(ways, options, {"tokens": options.side**2}, memory=True), indent=2))


if __name__ == "__main__":
    main()
