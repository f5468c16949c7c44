"""Peak memory of labelling large photos with the tiny models: ``python benchmarks/photo_memory.py``.

Each case runs in a process of its own: it segments a small photo, which imports everything, then a large one from a
file, and saves it. Prints one JSON object: GB by which the peak lies above the memory before the large photo, seconds.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

#: Megapixels, classes, threshold, refinement.
CASES = {"12 MP, 5 classes": (12, 5, None, False), "12 MP, 60 classes": (12, 60, None, False),
         "12 MP, 60 classes, threshold": (12, 60, 0.1, False), "48 MP, 60 classes": (48, 60, None, False),
         "12 MP, 60 classes, PAMR": (12, 60, None, True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, action="append", help="only these")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*map(json.loads, options.one))))
        return
    report = {}
    for name in options.case or CASES:
        command = [sys.executable, __file__, "--one", *map(json.dumps, CASES[name])]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        report[name] = json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1:]
        print(name, report[name], file=sys.stderr, flush=True)
    print(json.dumps(report, indent=2))


def measure(megapixels: int, classes: int, threshold: float | None, refined: bool) -> dict[str, float]:
    """Label one photo of 4 : 3 and save it."""
    import torch
    from PIL import Image

    import proxyclip as pc

    torch.set_num_threads(1)
    colours, things = ("red", "green", "blue", "white", "black", "yellow"), ("car", "house", "tree", "boat", "fish")
    names = [f"{colour} {thing}" for colour in colours for thing in (*things, "ball", "star", "cup", "lamp", "sign")]
    model, words = pc.load(), names[:classes]
    refine = pc.PAMR() if refined else None
    with tempfile.TemporaryDirectory() as folder:
        scene = pc.dataset("tiny/street")[0].image
        height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
        photo = Path(folder) / "photo.png"
        scene.resize((height * 4 // 3, height), Image.Resampling.BICUBIC).save(photo, compress_level=1)
        model.segment(scene, words, None, threshold, refine).save(Path(folder) / "small.png")
        before, begun = psutil.Process().memory_info().rss, time.perf_counter()
        model.segment(photo, words, None, threshold, refine).save(Path(folder) / "large.png")
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"GB above": round((peak - before) / 1e9, 2), "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
