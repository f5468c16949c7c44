"""The sets of the tiny world: each stands in for one of the paper's benchmarks."""

from dataclasses import dataclass

import numpy as np

from proxyclip.tiny.world import layouts
from proxyclip.tiny.world.classes import COLOURS, LISTS, PATTERNS, STUFF, THINGS
from proxyclip.tiny.world.layouts import Layout, Open
from proxyclip.tiny.world.scenes import Canvas, Item, Scene, generator

#: Seeds of the scenes for training, for tuning and for the reported results.
TRAIN_SEED, VAL_SEED, TEST_SEED = 1, 1001, 9001


@dataclass(frozen=True)
class TinySet:
    """A set: its classes, the protocol it is scored with and how its scenes are laid out."""

    name: str
    classes: tuple[str, ...]  #: One entry per class id; queries of a class are separated by "; ".
    layout: Layout  #: Paints a scene on a canvas.
    size: tuple[int, int] = (128, 128)  #: Height and width of its scenes in pixels.
    #: Sliding window in pixels.
    window: int = 64
    stride: int = 32
    prob_threshold: float | None = None  #: Below it a pixel is class 0 (background); None without a background.
    test_seed: int = TEST_SEED  #: The seed of the reported scenes.
    stands_for: str = ""  #: The benchmark of the paper that it stands in for.
    attributes: bool = False  #: Whether classes name colour and pattern ("red striped ball").

    def query(self, item: Item) -> str:
        """The words of an item: its name, in a set of combinations with colour and pattern."""
        if self.attributes and item.look is not None:
            return f"{item.look.colour} {item.look.pattern} {item.name}"
        return item.name


BACKGROUND = "; ".join(STUFF)


def combinations(count: int = 160, seed: int = 7) -> tuple[tuple[str, str, str], ...]:
    """A fixed random choice of (colour, pattern, thing) triples: the long tail."""
    everything = [(c, p, t) for c in COLOURS for p in PATTERNS[1:] for t in THINGS]
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(everything))
    return tuple(sorted(everything[i] for i in order[:count]))


COMBINATIONS = combinations()
LONGTAIL: tuple[str, ...] = (*STUFF, *(" ".join(c) for c in COMBINATIONS))
#: A second large vocabulary, about half as large as the first, which shares no combination with it.
OTHER_COMBINATIONS = tuple(c for c in combinations(260, seed=11) if c not in COMBINATIONS)[::3]
MEDLEY: tuple[str, ...] = (*STUFF, *(" ".join(c) for c in OTHER_COMBINATIONS))

LARGE = Open((1, 2), (1, 3), (40, 84), kinds=LISTS["few"])
MANY = Open((1, 2), (2, 6), (24, 60))
COMBINED = Open((1, 2), (2, 4), (30, 64), looks=COMBINATIONS)
MIXED = Open((2, 3), (2, 4), (28, 64), looks=OTHER_COMBINATIONS)

SETS: dict[str, TinySet] = {
    s.name: s
    for s in (
        TinySet("tiny/voc", (BACKGROUND, *LISTS["few"]), LARGE, prob_threshold=0.2, stands_for="voc21"),
        TinySet("tiny/voc20", LISTS["few"], LARGE, stands_for="voc20"),
        TinySet("tiny/context", (*STUFF, *THINGS), Open((2, 3), (2, 4), (28, 64)), stands_for="context60"),
        TinySet("tiny/object", (BACKGROUND, *THINGS), MANY, prob_threshold=0.2, stands_for="coco_object"),
        TinySet("tiny/stuff", (*STUFF, *THINGS), Open((3, 5), (1, 3), (24, 48)), stands_for="coco_stuff"),
        TinySet("tiny/street", LISTS["street"], layouts.street, size=(128, 256), stands_for="cityscapes"),
        TinySet("tiny/indoor", LISTS["indoor"], layouts.indoor, stands_for="ade150"),
        TinySet("tiny/longtail", LONGTAIL, COMBINED, stands_for="ade847", attributes=True),
        TinySet("tiny/medley", MEDLEY, MIXED, stands_for="pc459", attributes=True),
    )
}


def render(name: str, seed: int, index: int, size: tuple[int, int] | None = None) -> Scene:
    """Generate scene ``index`` of a set; the set's name, the seed and the index determine every pixel.

    ``size`` is (height, width) in pixels, at least 32; the set's own by default.
    """
    if name not in SETS:
        raise ValueError(f'unknown tiny set "{name}"; the sets are {", ".join(SETS)}')
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index of a tiny scene must not be negative, got seed={seed}, index={index}")
    this = SETS[name]
    height, width = size or this.size
    if min(height, width) < 32:
        raise ValueError(f"a tiny scene must be at least 32 pixels high and wide, got {height} x {width}")
    canvas = Canvas(generator(name, seed, index), height, width)
    this.layout(canvas)
    image = canvas.finish()
    ids = {query: i for i, entry in enumerate(this.classes) for query in entry.split("; ")}
    labels = np.array([ids.get(this.query(item), -1) for item in canvas.items], np.int16)
    return Scene(image, labels[canvas.instances], canvas.instances, tuple(canvas.items))
