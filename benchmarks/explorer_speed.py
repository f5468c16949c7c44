"""Time from a slider's move to the drawn picture in the explorer, in headless Chromium: one window and a whole scene.

Prints one JSON object: medians over the moves of a slider, in milliseconds. The similarities are made once for each
model and image, before the first picture. Moves are spread evenly over the time between two refreshes of the screen, as
a hand's are. With ``--against FILE`` another version of ``explorer.js`` takes turns with the one of this checkout, so
that the ratio also holds on a busy machine.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import proxyclip as pc
from proxyclip.explorer.assets import ASSETS
from proxyclip.explorer.document import Explorer
from proxyclip.explorer.export import export_scene

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from browser import DESKTOP, Browser, executable  # noqa: E402

READY = "document.querySelector('[data-number=miou]') && !document.querySelector('[aria-busy=true]')"
MOVES = Path(__file__).with_name("explorer_moves.js")


def times(browser: Browser, page: Path, moves: int) -> list[float]:
    """Milliseconds of each move after the first few, during which the browser still compiles."""
    browser.visit("about:blank", DESKTOP)
    browser.visit(page.as_uri(), DESKTOP)
    if not browser.wait_until(READY, 60):
        raise RuntimeError("the explorer did not get ready")
    return browser.run(MOVES, moves + 8)[8:]


def measure(browser: Browser, image: np.ndarray, scripts: dict[str, Path], moves: int, rounds: int) -> dict[str, Any]:
    """Medians of all versions in turns, for one image with windows of 64 pixels and 256 tokens."""
    data, model = pc.dataset("tiny/context"), pc.load(vfm="tiny_sam", short_side=None)
    explorer, own = Explorer([export_scene(model, image, data.vocabulary)]), ASSETS / "explorer.js"
    found: dict[str, list[float]] = {name: [] for name in scripts}
    with tempfile.TemporaryDirectory() as folder:
        page = explorer.save(Path(folder) / "explorer.html")
        text = page.read_text(encoding="utf-8")
        for _ in range(rounds):
            for name, script in scripts.items():
                page.write_text(text.replace(own.read_text(encoding="utf-8"), script.read_text(encoding="utf-8")),
                                encoding="utf-8")
                found[name] += times(browser, page, moves)
    medians = {name: round(median(values), 1) for name, values in found.items()}
    return {"windows": len(model.prepare_windows(image).boxes), "moves": moves * rounds, "median ms": medians,
            "fastest tenth ms": {name: round(float(np.quantile(values, 0.1)), 1) for name, values in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=40, help="of the slider in each turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each version")
    parser.add_argument("--against", type=Path, help="another explorer.js")
    options = parser.parse_args()
    if executable() is None:
        raise SystemExit("Chromium is not on PATH")
    scripts = {"before": options.against} if options.against else {}
    scripts["now"] = ASSETS / "explorer.js"
    image = np.array(pc.dataset("tiny/context")[0].image)
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder) / "profile") as browser:
        found = {name: measure(browser, part, scripts, options.moves, options.rounds)
                 for name, part in (("one window", image[:64, :64]), ("a scene", image))}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
