"""Time from a slider's move to the drawn picture in the explorer, in headless Chromium: one window and a whole scene.

Prints one JSON object: medians over the moves of a slider, in milliseconds. The similarities are made once for each
model and image, before the first picture. A picture is drawn in the frame after the move, which waits for up to 16 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

import proxyclip as pc
from proxyclip.explorer.document import Explorer
from proxyclip.explorer.export import export_scene

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from browser import DESKTOP, Browser, executable  # noqa: E402

READY = "document.querySelector('[data-number=miou]') && !document.querySelector('[aria-busy=true]')"
#: Moves beta over its middle range and reports how long each picture took.
MOVES = """new Promise(async done => {
  const input = document.getElementById('explorer-beta'), el = document.querySelector('.pce'), found = [];
  const next = () => new Promise(drawn => el.addEventListener("explorer-drawn",
    event => drawn(event.detail.milliseconds), {once: true}));
  for (let i = 0; i < MOVES_COUNT; i++) {
    const drawn = next();
    input.value = 0.8 + 0.05 * (i % 16);
    input.dispatchEvent(new Event('input', {bubbles: true}));
    found.push(await drawn);
    await new Promise(go => setTimeout(go, 30));
  }
  done(found);
})"""


def measure(browser: Browser, image: np.ndarray, folder: Path, moves: int) -> dict[str, float]:
    """Medians for one image, windows of 64 pixels and 256 tokens each."""
    data = pc.dataset("tiny/context")
    model = pc.load(vfm="tiny_sam")
    page = Explorer([export_scene(model, image, data.vocabulary)]).save(folder / "explorer.html")
    browser.visit("about:blank", DESKTOP)
    browser.visit(page.as_uri(), DESKTOP)
    if not browser.wait_until(READY, 60):
        raise RuntimeError("the explorer did not get ready")
    times = browser.evaluate(MOVES.replace("MOVES_COUNT", str(moves)))
    windows = len(model.prepare_windows(image).boxes)
    return {"windows": windows, "median_ms": round(median(times), 1), "slowest_ms": round(max(times), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=40)
    options = parser.parse_args()
    if executable() is None:
        raise SystemExit("Chromium is not on PATH")
    image = np.array(pc.dataset("tiny/context")[0].image)
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder) / "profile") as browser:
        found = {"one window": measure(browser, image[:64, :64], Path(folder), options.moves),
                 "a scene": measure(browser, image, Path(folder), options.moves)}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
