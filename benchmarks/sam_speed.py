"""SAM's encoder at 1024 x 1024, fused attention against timm's own: ``python benchmarks/sam_speed.py``.

Prints one JSON object: seconds and MiB beyond inputs and weights, for both, and their ratios.
"""

import copy
import json

import torch
from comparison import compared, parser, precision

from proxyclip.models import timm_models
from proxyclip.models.cpu_bfloat16 import faster_products
from proxyclip.models.registry import VFMS


def main() -> None:
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("--vfm", default="sam_vit_b", help="a SAM of the registry")
    arguments.add_argument("--size", type=int, default=1024)
    options = arguments.parse_args()
    dtype = precision(options)
    torch.manual_seed(0)
    plain = timm_models.create(VFMS[options.vfm].model).eval().requires_grad_(False)
    for name, table in plain.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.1)  # they are zero in an untrained model
    plain = plain.to(options.device, dtype)
    package = copy.deepcopy(plain)
    timm_models.share_relative_attention(package)
    pixels = torch.randn(1, 3, options.size, options.size, device=options.device, dtype=dtype)

    def encode(model: torch.nn.Module = package) -> torch.Tensor:
        with faster_products(dtype, pixels.device):
            return timm_models.features(model, pixels)

    ways = {"package": encode, "plain": lambda: timm_models.features(plain, pixels)}
    if dtype == torch.bfloat16 and pixels.device.type == "cpu":
        single = copy.deepcopy(package).float()
        ways["package, float32"] = lambda: timm_models.features(single, pixels.float())
    settings = {"vfm": options.vfm, "size": options.size, "dtype": str(dtype).removeprefix("torch.")}
    print(json.dumps(compared(ways, options, settings, memory=True, warmup=0), indent=2))


if __name__ == "__main__":
    main()
