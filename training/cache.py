"""A cache of training scenes on disk, and random crops cut from it.

Rendering a scene takes 10-20 ms of CPU time, a crop from the cache a fraction of a millisecond. Shards are plain
``.npy`` files that are written atomically, so rendering continues after an interruption.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from proxyclip.system.atomic import replacing
from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, STUFF
from proxyclip.tiny.world.sets import SETS, TRAIN_SEED, render
from training.parallel import parallel_map

SIDE = 128
#: Items kept per scene; a street half has the most.
MAX_ITEMS = 64
SHARD = 512
#: Share of each set's layout in the training mixture.
MIXTURE: dict[str, float] = {
    "tiny/context": 0.3,
    "tiny/stuff": 0.15,
    "tiny/object": 0.15,
    "tiny/voc": 0.1,
    "tiny/street": 0.15,
    "tiny/indoor": 0.15,
}
_COLOUR = {name: i for i, name in enumerate(COLOURS)}


def fill(folder: Path, scenes: int, workers: int | None = None) -> None:
    """Render the shards that are missing until the cache holds ``scenes`` scenes, rounded up to whole shards.

    Each of the ``workers`` (as many as cores by default) renders one shard at a time.
    """
    missing = [shard for shard in range(-(-scenes // SHARD)) if not (folder / f"images-{shard:04d}.npy").exists()]
    list(parallel_map(partial(write_shard, folder, size=SHARD), missing, workers, "shards of scenes"))


def write_shard(folder: Path, shard: int, seed: int = TRAIN_SEED, size: int | None = None) -> None:
    """Render shard number ``shard``, of ``SHARD`` scenes by default, into ``folder``.

    Writes ``images-N.npy`` (size, 128, 128, 3) uint8, ``instances-N.npy`` (size, 128, 128) uint8 and
    ``items-N.npy`` (size, MAX_ITEMS, 3) int8 with class, colour and pattern ids (-1: none). The images are written
    last, since a reader takes a shard that has them to be complete.
    """
    size = size or SHARD
    folder.mkdir(parents=True, exist_ok=True)
    names, weights = list(MIXTURE), np.cumsum(list(MIXTURE.values()))
    images = np.zeros((size, SIDE, SIDE, 3), np.uint8)
    instances = np.zeros((size, SIDE, SIDE), np.uint8)
    items = np.full((size, MAX_ITEMS, 3), -1, np.int8)
    k, index = 0, shard * size
    while k < size:
        choice = np.random.Generator(np.random.PCG64([seed, index])).random() * weights[-1]
        name = names[int(np.searchsorted(weights, choice))]
        scene = render(name, seed, index)
        index += 1
        for left in range(0, SETS[name].size[1], SIDE):
            if k == size:
                break
            images[k], instances[k] = scene.image[:, left : left + SIDE], scene.instances[:, left : left + SIDE]
            for j, item in enumerate(scene.items[:MAX_ITEMS]):
                look = (_COLOUR[item.look.colour], PATTERNS.index(item.look.pattern)) if item.look else (-1, -1)
                items[k, j] = (CLASSES.index(item.name), *look)
            k += 1
    np.minimum(instances, MAX_ITEMS - 1, out=instances)
    for kind, array in (("items", items), ("instances", instances), ("images", images)):
        with replacing(folder / f"{kind}-{shard:04d}.npy") as scratch:
            np.save(scratch, array)


@dataclass
class Crops:
    """A batch of crops."""

    images: Tensor  #: (B, 3, S, S) float32 in [0, 1]
    instances: Tensor  #: (B, S, S) int64, index into the scene's items
    items: Tensor  #: (B, MAX_ITEMS, 3) int64, class, colour and pattern ids, -1 for none
    share: Tensor  #: (B, MAX_ITEMS) float32, share of the crop that each item covers
    whole: Tensor  #: (B, MAX_ITEMS) float32, share of each item's visible pixels in its scene that lie inside the crop


class SceneCache:
    """The scenes of the shards that ``write_shard`` has written, held on a device, on which crops are cut."""

    def __init__(self, folder: Path, device: torch.device | str = "cpu") -> None:
        self.folder, self.device = folder, torch.device(device)
        numbers = sorted(path.stem.partition("-")[2] for path in folder.glob("images-*.npy"))
        #: (N, 128, 128, 3) uint8, (N, 128, 128) uint8, (N, MAX_ITEMS, 3) int64: of all scenes, as in the shards.
        self.images, self.instances, self.items = (
            torch.from_numpy(np.concatenate([np.load(folder / f"{kind}-{number}.npy", mmap_mode="r")
                                             for number in numbers])).to(self.device)
            for kind in ("images", "instances", "items"))
        self.items = self.items.long()
        self.area = torch.cat([_areas(part.long()) for part in self.instances.split(SHARD)])
        self.things = _boxes(*(part.cpu().numpy() for part in (self.instances, self.items, self.area)))

    def __len__(self) -> int:
        return len(self.images)

    def crops(
        self, scene: np.ndarray, centre: np.ndarray, side: np.ndarray, size: int, rng: Generator, flips: bool = True
    ) -> Crops:
        """Cut, resize, recolour and, with ``flips``, mirror half of the crops.

        Scene numbers are (B,), centres (B, 2) in (x, y) and sides (B,) in scene pixels; the result has ``size`` pixels
        a side.
        """
        chosen = torch.from_numpy(scene).to(self.device)
        images, instances, items, area = (part[chosen] for part in (self.images, self.instances, self.items, self.area))
        b, device = len(scene), self.device
        flip = np.where(flips & (rng.random(b) < 0.5), -1.0, 1.0)
        theta = np.zeros((b, 2, 3), np.float32)
        theta[:, 0, 0], theta[:, 1, 1] = side / SIDE * flip, side / SIDE
        theta[:, 0, 2], theta[:, 1, 2] = centre[:, 0] / SIDE * 2 - 1, centre[:, 1] / SIDE * 2 - 1
        grid = F.affine_grid(torch.from_numpy(theta).to(device), [b, 3, size, size], align_corners=False)
        pixels = images.permute(0, 3, 1, 2).float().contiguous()
        cut = F.grid_sample(pixels, grid, align_corners=False, padding_mode="reflection") / 255
        owner = instances.float()[:, None]
        part = F.grid_sample(owner, grid, mode="nearest", padding_mode="reflection", align_corners=False)[:, 0].long()
        gain = torch.from_numpy(rng.uniform(0.88, 1.12, (b, 3, 1, 1)).astype(np.float32)).to(device)
        bright = torch.from_numpy(rng.uniform(0.75, 1.25, (b, 1, 1, 1)).astype(np.float32)).to(device)
        mean = cut.mean(dim=(2, 3), keepdim=True)
        contrast = torch.from_numpy(rng.uniform(0.8, 1.2, (b, 1, 1, 1)).astype(np.float32)).to(device)
        cut = (((cut - mean) * contrast + mean) * gain * bright).clamp(0, 1)
        share = _areas(part)
        scale = torch.from_numpy((side / size).astype(np.float32) ** 2).to(device)[:, None]
        whole = (share * scale / area.clamp_min(1)).clamp(0, 1)
        return Crops(cut, part, items, share / (size * size), whole)

    def windows(self, count: int, rng: Generator, size: int = 64, zoom: tuple[float, float] = (0.8, 1.25)) -> Crops:
        """Random windows, about ``size`` scene pixels wide, like those of an evaluation."""
        scene = rng.integers(0, len(self), count)
        side = size * np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1]), count))
        centre = side[:, None] / 2 + rng.random((count, 2)) * (SIDE - side[:, None])
        return self.crops(scene, centre, side, size, rng)

    def objects(self, count: int, rng: Generator, size: int = 32, stuff: float = 0.1) -> Crops:
        """Crops around single things; a share ``stuff`` of them lies anywhere and shows mostly stuff."""
        row = self.things[rng.integers(0, len(self.things), count)].numpy()
        scene, box = row[:, 0].astype(np.int64), row[:, 1:5]
        extent = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])
        side = np.clip(extent * rng.uniform(0.8, 1.7, count), 18, 100)
        centre = (box[:, :2] + box[:, 2:]) / 2 + rng.normal(0, 0.12, (count, 2)) * side[:, None]
        plain = rng.random(count) < stuff
        side = np.where(plain, rng.uniform(20, 40, count), side)
        centre = np.where(plain[:, None], rng.uniform(16, SIDE - 16, (count, 2)), centre)
        return self.crops(scene, centre, side, size, rng)


def _areas(instances: Tensor) -> Tensor:
    """Number of pixels of each item: (B, S, S) int64 -> (B, MAX_ITEMS) float32."""
    flat = instances.flatten(1)
    count = torch.zeros(len(flat), MAX_ITEMS, device=flat.device)
    return count.scatter_add_(1, flat, torch.ones_like(flat, dtype=torch.float32))


def _boxes(instances: np.ndarray, items: np.ndarray, area: np.ndarray) -> Tensor:
    """Boxes of the visible things of all scenes: rows (scene, x0, y0, x1, y1)."""
    rows = []
    for s, i in zip(*np.nonzero((items[..., 0] >= len(STUFF)) & (area >= 60)), strict=True):
        y, x = np.nonzero(instances[s] == i)
        rows.append((s, x.min(), y.min(), x.max() + 1, y.max() + 1))
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)


def patch_labels(instances: Tensor, patch: int, least: float = 0.6) -> Tensor:
    """The instance that covers most of each patch: (B, S, S) -> (B, N) int64, -1 if its share is below ``least``."""
    b, s, _ = instances.shape
    n = s // patch
    cells = instances.view(b, n, patch, n, patch).permute(0, 1, 3, 2, 4).reshape(b, n * n, patch * patch)
    common = cells.mode(dim=-1).values
    share = (cells == common[..., None]).float().mean(-1)
    return torch.where(share >= least, common, -1)
