"""README's picture of the attention explorer (``python -m book.drawings.explorer_still``).

It shows a street and one patch of a tree. A headless Chromium photographs the page that ``proxyclip explore`` would
write.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from book.pages.explorer_pages import tiny_scene
from book.site.pdf import browser
from proxyclip.explorer.document import Explorer
from proxyclip.system.atomic import replacing

#: Where README expects it.
STILL = Path("book/_static/explorer.webp")
SET, WIDTH, VFMS = "tiny/street", 128, ("tiny_sam", "tiny_mae")
#: The pixel whose patch is shown, and the size of the window; what is left of its height below the page is cut off.
POINT, SIZE = {"x": 74, "y": 46}, (1000, 1600)


def draw(path: str | Path = STILL) -> Path:
    """Write the picture atomically, as WebP, and return its path."""
    scene = tiny_scene(SET, WIDTH, VFMS)
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder, "explorer.html"), Path(folder, "explorer.png")
        Explorer([scene], "Attention explorer", POINT).save(page)
        subprocess.run([browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                        "--virtual-time-budget=20000", f"--window-size={SIZE[0]},{SIZE[1]}",
                        f"--screenshot={shot}", page.as_uri()], capture_output=True, check=True, timeout=300)
        picture = Image.open(shot).convert("RGB")
    rows = np.flatnonzero((np.asarray(picture) != np.asarray(picture)[-1, 0]).any(axis=(1, 2)))
    picture = picture.crop((0, 0, SIZE[0], min(SIZE[1], int(rows[-1]) + 15)))
    path = Path(path)
    with replacing(path) as partial:
        picture.save(partial, "webp", quality=90, method=6)
    return path


if __name__ == "__main__":
    print(draw(*sys.argv[1:2]))
