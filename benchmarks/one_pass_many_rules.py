"""What 25 Adaptive rules cost in one pass, against one rule and against 25 passes.

Run it as ``python benchmarks/one_pass_many_rules.py [--profile paper]``; it prints one JSON object. The weights are
untrained, which takes the same time. Times are seconds per image of a whole evaluation, with reading, labels and
counting: the fastest of several repetitions in turns.
"""

import itertools
import json

import numpy as np
import torch
from comparison import parser, precision
from PIL import Image

import proxyclip as pc
from proxyclip.data import vocab
from proxyclip.data.base import Dataset, Sample
from proxyclip.data.benchmarks import BENCHMARKS
from proxyclip.evaluation.evaluator import run
from proxyclip.loading import PROFILES
from proxyclip.system.provenance import device_line
from proxyclip.system.timing import compare, cpu_threads

GRID = [pc.Adaptive(b, g) for b, g in itertools.product((0.8, 1.0, 1.2, 1.4, 1.6), (1.0, 2.0, 3.0, 4.0, 5.0))]


class Noise(Dataset):
    """Random pictures under the protocol and the vocabulary of a benchmark."""

    def __init__(self, name: str, images: int, size: tuple[int, int] = (375, 500)) -> None:
        self.name, self.vocabulary, self.protocol = name, vocab.load(name), BENCHMARKS[name].protocol
        self.images, self.size = images, size

    def __len__(self) -> int:
        return self.images

    def sample_id(self, index: int) -> str:
        return str(index)

    def signature(self) -> dict[str, object]:
        return {"name": self.name, "images": self.images}

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 256, (*self.size, 3), np.uint8)
        labels = rng.integers(0, len(self.vocabulary), self.size).astype(np.int32)
        return Sample(str(index), Image.fromarray(pixels), labels)


def main() -> None:
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("--profile", choices=("tiny", "paper"), default="tiny")
    arguments.add_argument("--vfm", help="default: that of the profile")
    arguments.add_argument("--dataset", help="default: tiny/voc, or noise under the protocol of voc20")
    arguments.add_argument("--images", type=int, help="default: 8, or 1")
    options = arguments.parse_args()
    tiny = options.profile == "tiny"
    images = options.images or (8 if tiny else 1)
    torch.manual_seed(0)
    vfm = options.vfm or PROFILES[options.profile].vfm
    model = pc.load(options.profile, vfm=vfm, clip_weights="random", vfm_weights="random", device=options.device,
                    dtype=precision(options))
    name = options.dataset or ("tiny/voc" if tiny else "voc20")
    data = pc.dataset(name, length=images) if tiny else Noise(name, images)
    ways = {"one": lambda: run(model, data, GRID[:1]), "many": lambda: run(model, data, GRID)}
    with cpu_threads(options.threads) as clock:
        timings = compare(ways, options.device, options.repeats, clock=clock)  # warming up encodes the class names
    one, many = (min(timing.seconds) / images for timing in timings.values())
    report = {
        "device": device_line(), "profile": options.profile, "vfm": vfm, "dataset": name, "images": images,
        "dtype": str(model.dtype).removeprefix("torch."), "torch": torch.__version__,
        "one_rule_s": one, "one_pass_25_rules_s": many,
        "25_passes_s": len(GRID) * one, "ratio_to_one_rule": many / one,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
