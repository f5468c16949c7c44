"""Captions of crops: the statements that a caption can make, which of them are true of a crop, and the token rows."""

import random
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from proxyclip.tiny.world.captions import CONTEXT_LENGTH, TEMPLATES, Tokenizer
from proxyclip.tiny.world.classes import CLASSES, COLOURS, PATTERNS, STUFF, THINGS, held_out
from training.cache import Crops

#: Openings of training captions; "{}" stands for the list of what is visible.
OPENINGS: tuple[str, ...] = tuple(t.replace("a {}", "{}").replace("the {}", "{}") for t in TEMPLATES)
_N, _C, _P, _T = len(CLASSES), len(COLOURS), len(PATTERNS), len(THINGS)
#: Number of statements that a caption can make: class, thing with colour, thing with pattern, thing with both.
ATOMS = _N + _T * _C + _T * _P + _T * _C * _P
_HELD_OUT = {
    (c, p, t)
    for (c, colour), (p, pattern), (t, thing) in product(*map(enumerate, (COLOURS, PATTERNS, THINGS)))
    if held_out(colour, pattern, thing)
}


def atom(cls: int, colour: int = -1, pattern: int = -1) -> int:
    """Number of a statement, from the ids of class, colour and pattern (-1: not said)."""
    thing = cls - len(STUFF)
    if colour < 0 and pattern < 0:
        return cls
    if pattern < 0:
        return _N + thing * _C + colour
    if colour < 0:
        return _N + _T * _C + thing * _P + pattern
    return _N + _T * _C + _T * _P + (thing * _C + colour) * _P + pattern


def true_statements(crops: Crops, least: float = 0.004) -> Tensor:
    """All statements that are true of each crop: (B, ATOMS) float32 in {0, 1}."""
    return statements(crops, crops.share > least)


def statements(crops: Crops, chosen: Tensor) -> Tensor:
    """All statements that are true of the chosen items, (B, MAX_ITEMS) bool: (B, ATOMS) float32 in {0, 1}."""
    present = chosen & (crops.items[..., 0] >= 0)
    out = torch.zeros(len(crops.share), ATOMS, device=crops.share.device)
    row, item = present.nonzero(as_tuple=True)
    cls, colour, pattern = crops.items[row, item].unbind(-1)
    out[row, cls] = 1
    thing = cls - len(STUFF)
    k = thing >= 0
    row, thing, colour, pattern = row[k], thing[k], colour[k], pattern[k]
    out[row, _N + thing * _C + colour] = 1
    out[row, _N + _T * _C + thing * _P + pattern] = 1
    out[row, _N + _T * _C + _T * _P + (thing * _C + colour) * _P + pattern] = 1
    return out


def visible(crops: Crops) -> np.ndarray:
    """Items that a caption may mention: (B, MAX_ITEMS) bool."""
    share, whole, cls = (t.cpu().numpy() for t in (crops.share, crops.whole, crops.items[..., 0]))
    clear = np.where(cls >= len(STUFF), ((share > 0.012) & (whole > 0.35)) | (share > 0.1), share > 0.07)
    return clear & (cls >= 0)


class Captioner:
    """Token rows for crops, and the statements that each caption makes."""

    def __init__(self) -> None:
        self.tokens = Tokenizer()
        ids = self.tokens.ids
        self.openings = [[[ids[w] for w in part.split()] for part in o.split("{}")] for o in OPENINGS]
        self.classes = [ids[n] for n in CLASSES]
        self.colours = [ids[n] for n in COLOURS]
        self.patterns = [ids[n] for n in PATTERNS]
        self.joints = [ids[w] for w in ("and", "with", "on", "and")]
        self.a, self.an, self.the = ids["a"], ids["an"], ids["the"]
        self.vowels = {ids[w] for w in (*CLASSES, *COLOURS) if w[0] in "aeio"}

    def __call__(self, crops: Crops, rng: random.Random, single: float = 0.3) -> tuple[Tensor, Tensor]:
        """Captions of a batch: tokens (B, L) int64 with L the longest, and statements (B, ATOMS) float32."""
        items, seen = crops.items.cpu().numpy(), visible(crops)
        share = crops.share.cpu().numpy()
        rows, said = [], torch.zeros(len(items), ATOMS)
        for b in range(len(items)):
            order = np.nonzero(seen[b])[0].tolist() or [int(share[b].argmax())]
            rng.shuffle(order)
            limit = 1 if rng.random() < single else 4
            opening = self.openings[rng.randrange(len(self.openings))]
            row = [1, *opening[0]]
            classes: set[int] = set()
            for i in order:
                cls, colour, pattern = (int(v) for v in items[b, i])
                if cls < len(STUFF) and cls in classes:
                    continue
                phrase, colour, pattern = self.phrase(cls, colour, pattern, rng)
                joint = [self.joints[rng.randrange(4)]] if classes else []
                if len(row) + len(joint) + len(phrase) + len(opening[1]) + 1 > CONTEXT_LENGTH:
                    break
                row += joint + phrase
                classes.add(cls)
                said[b, atom(cls, colour, pattern)] = 1
                limit -= 1
                if limit == 0:
                    break
            rows.append(torch.tensor([*row, *opening[1], self.tokens.eot_token_id]))
        return pad_sequence(rows, batch_first=True).to(crops.images.device), said.to(crops.images.device)

    def phrases(self, crops: Crops, rng: random.Random, per_crop: int = 3) -> tuple[Tensor, Tensor]:
        """Short captions, each a noun phrase for something visible in the batch; no two say the same.

        Tokens are (M, L) int64, statements (M, ATOMS) float32 with a single one in each row.
        """
        items, seen = crops.items.cpu().numpy(), visible(crops)
        rows: dict[int, Tensor] = {}
        for b in range(len(items)):
            shown = np.nonzero(seen[b])[0].tolist()
            for i in rng.sample(shown, min(per_crop, len(shown))):
                cls, colour, pattern = (int(v) for v in items[b, i])
                words, colour, pattern = self.phrase(cls, colour, pattern, rng)
                before, after = self.openings[rng.randrange(len(self.openings))]
                row = torch.tensor([1, *before, *words, *after, self.tokens.eot_token_id])
                rows.setdefault(atom(cls, colour, pattern), row)
        tokens = pad_sequence(list(rows.values()), batch_first=True)
        said = F.one_hot(torch.tensor(list(rows)), ATOMS).float()
        return tokens.to(crops.images.device), said.to(crops.images.device)

    def phrase(self, cls: int, colour: int, pattern: int, rng: random.Random) -> tuple[list[int], int, int]:
        """Token ids of a noun phrase, and the colour and pattern ids that it names (-1: none)."""
        name = self.classes[cls]
        if cls < len(STUFF):
            words = [name] if rng.random() < 0.6 else [self.the if rng.random() < 0.4 else self.a, name]
            return words, -1, -1
        named_colour, named_pattern = rng.random() < 0.3, rng.random() < 0.3
        if named_colour and named_pattern and (colour, pattern, cls - len(STUFF)) in _HELD_OUT:
            named_colour, named_pattern = (True, False) if rng.random() < 0.5 else (False, True)
        words = [self.colours[colour]] * named_colour + [self.patterns[pattern]] * named_pattern + [name]
        lead = rng.random()
        if lead < 0.75:
            words = [self.an if words[0] in self.vowels else self.a, *words]
        return words, colour if named_colour else -1, pattern if named_pattern else -1
