"""The sets of the generated world behind the interface of the benchmarks."""

import hashlib
from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image

from proxyclip.data import vocab
from proxyclip.data.base import Dataset, Protocol, Sample
from proxyclip.data.samples import DataError
from proxyclip.text import Vocabulary
from proxyclip.tiny.world.scenes import Scene
from proxyclip.tiny.world.sets import SETS, render

#: Scenes that a set may have.
MOST_SCENES = 1_000_000


class SceneDataset(Dataset):
    """A set of ``length`` generated scenes, such as ``tiny/context``, each drawn on access.

    The seed of the world is by default the set's test seed, which was used for neither training nor tuning. ``size``
    is height and width in pixels, or one number for a square; another ``vocabulary`` needs as many classes as the set's
    own. Raises :class:`DataError` when the name is unknown or an option is not allowed.
    """

    def __init__(
        self, name: str, seed: int | None = None, size: int | tuple[int, int] | None = None, length: int = 128,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        if name not in SETS:
            raise DataError(f'no generated set "{name}"; there are {", ".join(SETS)}')
        if not 1 <= length <= MOST_SCENES:
            raise DataError(f"{name}: length must be a number of scenes from 1 to {MOST_SCENES:,}, got {length}")
        row = SETS[name]
        self.name = name
        self.seed = row.test_seed if seed is None else seed
        self.size: tuple[int, int] | None = (size, size) if isinstance(size, int) else size or row.size
        self.protocol = Protocol(None, row.window, row.stride, prob_threshold=row.prob_threshold)
        own = Vocabulary.parse(row.classes)
        if row.prob_threshold is not None:
            own = replace(own, names=("background", *own.names[1:]))
        self.vocabulary = vocabulary or own
        vocab.check_count(self.vocabulary, len(own), f"the vocabulary given for {name}")
        self._length = length

    def __len__(self) -> int:
        return self._length

    def sample_id(self, index: int) -> str:
        return f"{self.seed}-{index:05d}"

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(f"{self.name} has scenes 0 to {self._length - 1}, asked for {index}")
        own_size = self.size == SETS[self.name].size  # scenes of another size may be too large to be kept
        scene = (_drawn if own_size else render)(self.name, self.seed, index, self.size)
        return Sample(self.sample_id(index), Image.fromarray(scene.image), scene.labels.astype(np.int32))

    def signature(self) -> dict[str, object]:
        # The pixels of the first scene identify the generator: they change when scenes are drawn differently.
        first = self[0]
        pixels = hashlib.sha256(np.asarray(first.image).tobytes() + first.labels.tobytes()).hexdigest()
        return {"name": self.name, "images": len(self), "seed": self.seed, "size": self.size, "files": pixels}


@lru_cache(maxsize=128)  # a set is read once for every foundation model
def _drawn(name: str, seed: int, index: int, size: tuple[int, int] | None) -> Scene:
    scene = render(name, seed, index, size)
    scene.image.setflags(write=False)  # images that share these pixels copy them before they change
    return scene
