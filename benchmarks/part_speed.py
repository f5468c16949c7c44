"""Parts of the method, the package against the plain implementation: ``python benchmarks/part_speed.py head``.

- ``head``: memory and time of the proxy attention on SAM's 64 x 64 features.
- ``text``: text embeddings of a class list with its 80 prompts a query.
- ``sam``: SAM's encoder at 1024 x 1024, fused attention against timm's own.

Prints one JSON object: seconds of both (per query for the text), MiB beyond inputs and weights, their ratios, and how
far the results are apart.
"""

import argparse
import copy
import json
from typing import Any

import torch
import torch.nn.functional as F
from comparison import compared, parser, precision
from plain import encode_queries, proxy_attention

from proxyclip.attention import masked_attention, mean_similarity, unit
from proxyclip.data import vocab
from proxyclip.efficiency import untrained
from proxyclip.models import timm_models
from proxyclip.models.cpu_bfloat16 import faster_products
from proxyclip.models.registry import VFMS

CLIP_GRID, HEADS, WIDTH = 21, 12, 768


def head(options: argparse.Namespace, dtype: torch.dtype) -> dict[str, Any]:
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

    return compared({"package": package, "plain": plain}, options, {"tokens": options.side**2}, memory=True)


def text(options: argparse.Namespace, dtype: torch.dtype) -> dict[str, Any]:
    clip = untrained(None, options.device, dtype).clip
    queries = vocab.load(options.vocabulary).queries[: options.queries]

    def package() -> torch.Tensor:
        clip.forget_queries()  # embeddings are kept; here they must be computed each time
        return clip.encode_queries(queries)

    ways = {"package": package, "plain": lambda: encode_queries(clip, queries)}
    settings = {"queries": len(queries), "prompts": len(queries) * len(clip.templates)}
    return compared(ways, options, settings, " per query", len(queries), warmup=0, of=" of the embeddings")


def sam(options: argparse.Namespace, dtype: torch.dtype) -> dict[str, Any]:
    plain = timm_models.create(VFMS[options.vfm].model).eval().requires_grad_(False)
    for name, table in plain.named_parameters():
        if "rel_pos" in name:
            torch.nn.init.normal_(table, std=0.1)  # they are zero in an untrained model
    plain = plain.to(options.device, dtype)
    package = copy.deepcopy(plain)
    timm_models.share_relative_attention(package)
    pixels = torch.randn(1, 3, options.size, options.size, device=options.device, dtype=dtype)

    def encode() -> torch.Tensor:
        with faster_products(dtype, pixels.device):
            return timm_models.features(package, pixels)

    ways = {"package": encode, "plain": lambda: timm_models.features(plain, pixels)}
    if dtype == torch.bfloat16 and pixels.device.type == "cpu":
        single = copy.deepcopy(package).float()
        ways["package, float32"] = lambda: timm_models.features(single, pixels.float())
    settings = {"vfm": options.vfm, "size": options.size, "dtype": str(dtype).removeprefix("torch.")}
    return compared(ways, options, settings, memory=True, warmup=0)


PARTS = {"head": head, "text": text, "sam": sam}


def main() -> None:
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("part", choices=PARTS)
    arguments.add_argument("--side", type=int, default=64, help="head: features per side; SAM has 64, DINO-B/8 has 42")
    arguments.add_argument("--channels", type=int, default=256, help="head: of the features")
    arguments.add_argument("--vocabulary", default="ade150", help="text: a class list of the package")
    arguments.add_argument("--queries", type=int, default=4, help="text: the first so many queries")
    arguments.add_argument("--vfm", default="sam_vit_b", help="sam: a SAM of the registry")
    arguments.add_argument("--size", type=int, default=1024, help="sam: side of the image")
    options = arguments.parse_args()
    torch.manual_seed(0)
    print(json.dumps(PARTS[options.part](options, precision(options)), indent=2))


if __name__ == "__main__":
    main()
