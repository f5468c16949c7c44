"""What bfloat16 networks cost in quality, against float32: ``python benchmarks/bfloat16_quality.py``.

Prints one JSON object. For each tiny set: mIoU in both formats, the difference paired by image with its standard error,
and the share of pixels with the same label. For the real DINOv2-S on photographs, where it is installed: how far its
cosines move, and the share of entries that change sides of the threshold. For full-size CLIP and DINO-B/8 with random
weights: how far the logits move.
"""

import json

import numpy as np
import torch
from comparison import in_dtype, parser

import proxyclip as pc
from proxyclip.efficiency import untrained
from proxyclip.evaluation import evaluator
from proxyclip.supplement.measures.real_photographs import Photographs, missing, real_model
from proxyclip.supplement.measures.similarities import window_similarities
from proxyclip.system.devices import multiplies_bfloat16
from proxyclip.system.provenance import device_line

SETS = ("tiny/voc", "tiny/context", "tiny/object", "tiny/voc20", "tiny/indoor", "tiny/stuff", "tiny/street",
        "tiny/longtail")
#: Of the default rule's threshold, beta times the mean.
BETA = 1.2


def on_set(model: pc.ProxyCLIP, half: pc.ProxyCLIP, name: str, images: int) -> dict[str, float]:
    """mIoU of both, their paired difference, and how many labels agree."""
    (found,) = pc.compare(*(evaluator.run(one, name, [pc.Adaptive()], limit=images) for one in (model, half)))
    data = pc.dataset(name)
    same = [np.mean(model.segment(data[at].image, data.vocabulary).labels
                    == half.segment(data[at].image, data.vocabulary).labels) for at in range(images)]
    return {"images": images, "mIoU, float32": round(found.miou[0], 3), "difference": round(found.difference, 3),
            "standard error": round(found.error, 3), "% of labels equal": round(100 * float(np.mean(same)), 3)}


def on_photographs() -> dict[str, float]:
    """The real model's cosines in both formats, over all windows of scikit-image's photographs."""
    model = real_model()
    half, moved, changed = in_dtype(model, torch.bfloat16), [], []
    for sample in Photographs():
        image = np.array(sample.image)
        for (_, _, exact, mean), (_, _, rounded, other) in zip(
                window_similarities(model, image), window_similarities(half, image), strict=True):
            moved.append((rounded.float() - exact).abs().flatten())
            changed.append(((rounded >= BETA * other) != (exact >= BETA * mean)).float().mean().item())
    apart = torch.cat(moved)
    return {"windows": len(changed), "mean difference of cosines": round(apart.mean().item(), 5),
            "largest": round(apart.max().item(), 4),
            "% of entries that change sides of the threshold": round(100 * float(np.mean(changed)), 3)}


@torch.inference_mode()
def at_full_size(classes: int) -> dict[str, float]:
    """Logits of one image under random weights."""
    model = untrained("dino_vitb8")
    image = np.random.default_rng(0).integers(0, 256, (336, 336, 3), dtype=np.uint8)
    words = [f"class {number}" for number in range(classes)]
    exact, rounded = (one.logits(image, words) for one in (model, in_dtype(model, torch.bfloat16)))
    return {"mean difference of logits": round((exact - rounded).abs().mean().item(), 6),
            "largest": round((exact - rounded).abs().max().item(), 6),
            "spread of the logits over classes": round(exact.std(dim=0).mean().item(), 6),
            "% of labels equal": round(100 * (exact.argmax(0) == rounded.argmax(0)).float().mean().item(), 2)}


def main() -> None:
    arguments = parser(__doc__, repeats=None)
    arguments.add_argument("--images", type=int, default=24, help="scenes of each tiny set")
    arguments.add_argument("--classes", type=int, default=20, help="at full size")
    options = arguments.parse_args()
    torch.manual_seed(0)
    model = pc.load()
    half = in_dtype(model, torch.bfloat16)
    report: dict[str, object] = {"device": device_line(), "the CPU multiplies bfloat16": multiplies_bfloat16()}
    report["tiny sets"] = {name: on_set(model, half, name, options.images) for name in SETS}
    lacking = missing()
    report["real DINOv2-S, photographs"] = on_photographs() if not lacking else f"not run: {'; '.join(lacking)}"
    report["CLIP and DINO-B/8 at full size, random weights"] = at_full_size(options.classes)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
