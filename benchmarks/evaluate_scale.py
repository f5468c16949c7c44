"""Where an evaluation's time goes, and what resuming costs: ``python benchmarks/evaluate_scale.py --images 500``.

Images of 512 x 683 with 150 classes are written to a folder as JPEG and 16-bit PNG and evaluated from there with saved
counts. Prints one JSON object: images a second in one process and in two (torchrun), the most memory of a process,
the share of the CPU's time by what it is spent on, the seconds that a call takes which finds 5,000 images counted, and
what `proxyclip score` takes for as many saved predictions, a tenth of whose pixels are wrong; counting each image for
itself has the largest share there, since nothing is computed. With ``--profile paper`` the models are full-size with
random weights, whose images take seconds each.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparison import clocked, parser
from PIL import Image

import proxyclip as pc
from proxyclip import segment
from proxyclip.data.folders import FolderDataset, folder_dataset
from proxyclip.evaluation import counting, evaluator
from proxyclip.evaluation.metrics import Pairs
from proxyclip.evaluation.predictions import score
from proxyclip.evaluation.result import Evaluation
from proxyclip.evaluation.spread import ImageCounts
from proxyclip.evaluation.workers import joined
from proxyclip.inference import windows
from proxyclip.system.provenance import device_line

SIZE, CLASSES, RESUMED = (512, 683), 150, 5000
#: Words that the tiny CLIP knows, so that it does not warn of each.
WORDS = [f"{colour} {thing}" for colour in ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown",
                                            "white", "black")
         for thing in ("ball", "star", "house", "tree", "car", "boat", "fish", "flower", "cup", "cloud", "moon", "key",
                       "heart", "lamp", "sign")]


def write_set(folder: Path, images: int) -> FolderDataset:
    """Pictures with regions of one label each, in files as photographs are kept."""
    rng = np.random.default_rng(0)
    for number in range(images):
        coarse = rng.integers(0, CLASSES, (8, 11), dtype=np.uint16)
        labels = np.kron(coarse, np.ones((64, 64), np.uint16))[: SIZE[0], : SIZE[1]]
        pixels = np.kron(rng.integers(0, 256, (32, 43, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
        wrong = np.where(rng.random(SIZE) < 0.1, rng.integers(0, CLASSES, SIZE, np.uint16), labels)
        for name, values in (("images", pixels[: SIZE[0], : SIZE[1]]), ("labels", labels), ("predictions", wrong)):
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(values).save(folder / name / f"{number:05d}.{'jpg' if name == 'images' else 'png'}")
    return opened(folder)


def opened(folder: Path) -> FolderDataset:
    return folder_dataset(folder / "images", folder / "labels", WORDS)


def loaded(profile: str) -> pc.ProxyCLIP:
    torch.manual_seed(0)  # processes that share an evaluation must have the same weights
    weights = "random" if profile == "paper" else None
    return pc.load(profile, clip_weights=weights, vfm_weights=weights)


def one_process(model: pc.ProxyCLIP, data: FolderDataset, progress: Path) -> dict[str, Any]:
    """Evaluate with the steps' clocks running; one thread, so that the shares are of one core's time."""
    places = ((type(data), "__getitem__", "reading"), (model.vfm, "features", "foundation model"),
              (model.clip, "trunk", "CLIP up to its last block"), (model.clip, "readout", "last block and rule"),
              (evaluator, "labels_from_embedding", "labels"), (counting, "pairs_of", "counting"),
              (windows, "check_finite", "checks for NaN"), (segment, "check_finite", "checks for NaN"))
    model.encode_classes(data.vocabulary)  # kept for the run: text is encoded once, whatever the number of images
    wall, cpu = time.perf_counter(), time.process_time()
    with clocked(places) as spent:
        evaluator.run(model, data, progress=progress)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    spent["everything else"] = cpu - sum(spent.values())
    shares = sorted(spent.items(), key=lambda item: -item[1])
    return {"images a second": round(len(data) / wall, 3),
            "peak memory of the process, MiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "share of the CPU's time, %": {name: round(100 * value / cpu, 2) for name, value in shares}}


def scored(data: FolderDataset, folder: Path) -> dict[str, float]:
    """Score the predictions, with the clock of what is only done for the sake of the counts of every image."""
    own = ((Pairs, "areas", "counts"), (ImageCounts, "add", "counts"), (Evaluation, "_image_counts", "counts"))
    start = time.perf_counter()
    with clocked(own, time.perf_counter) as spent:
        score({"mine": folder / "predictions"}, data).save(folder / "scored.json")
    seconds = time.perf_counter() - start
    size = (folder / "scored.counts.npz").stat().st_size
    return {"seconds": round(seconds, 2), "share of the counts": round(spent["counts"] / seconds, 4),
            "bytes an image": round(size / len(data))}


def two_processes(folder: Path, profile: str, images: int) -> float:
    """Images a second under torchrun, with a thread for each process."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__,
               "--worker", str(folder), "--profile", profile]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(images / float(done.stdout.split()[-1]), 3)


def worker(folder: Path, profile: str) -> None:
    torch.set_num_threads(1)
    model, data = loaded(profile), opened(folder)
    model.encode_classes(data.vocabulary)
    with joined() as workers:
        start = time.perf_counter()
        evaluator.run(model, data, workers=workers)
        if workers.rank == 0:
            print(time.perf_counter() - start)


def resumed(model: pc.ProxyCLIP, data: FolderDataset, folder: Path) -> float:
    """Seconds of a call that finds every one of 5,000 images counted: its files are links to those of ``data``."""
    for part, ending in (("images", "jpg"), ("labels", "png")):
        (folder / part).mkdir(parents=True)
        for number in range(RESUMED):
            source = data.paths(number % len(data))[part == "labels"]
            (folder / part / f"{number:05d}.{ending}").hardlink_to(source)
    many = opened(folder)

    class Nothing(evaluator.ByModel):
        """Labels everything as the first class, at once."""

        def label(self, index: int, sample: Any, geometry: Any) -> Any:
            yield np.zeros_like(sample.labels)

    under = evaluator.under_protocol(model, many)
    rules = [pc.Adaptive()]
    settings = evaluator.settings_of(under, many, rules, "stop", None)
    options = counting.Options(progress=folder / "progress")
    counting.count(Nothing(under, many, rules, None), many, settings, options)
    start = time.perf_counter()
    again = counting.count(Nothing(under, many, rules, None), many, settings, options)
    assert len(again.done) == RESUMED
    return round(time.perf_counter() - start, 2)


def main() -> None:
    arguments = parser(__doc__, repeats=None)
    arguments.add_argument("--profile", choices=("tiny", "paper"), default="tiny")
    arguments.add_argument("--images", type=int, default=500)
    arguments.add_argument("--worker", type=Path, help="used by this script itself")
    options = arguments.parse_args()
    if options.worker is not None:
        return worker(options.worker, options.profile)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data, model = write_set(folder, options.images), loaded(options.profile)
        report = {"device": device_line(), "profile": options.profile, "images": options.images, "size": list(SIZE),
                  "classes": CLASSES, "one process": one_process(model, data, folder / "progress"),
                  "two processes, images a second": two_processes(folder, options.profile, options.images),
                  "score": scored(data, folder)}
        if options.profile == "tiny":
            report[f"seconds to find {RESUMED} images counted"] = resumed(model, data, folder / "many")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
