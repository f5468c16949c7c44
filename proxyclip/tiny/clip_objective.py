"""Training the tiny CLIP: crops, captions of what is visible, and the contrastive loss."""

from __future__ import annotations

import random

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP
from torch import Tensor, nn

from proxyclip.tiny.cache import Crops, SceneCache
from proxyclip.tiny.captions import CONTEXT_LENGTH, OPENINGS, Tokenizer
from proxyclip.tiny.world import CLASSES, COLOURS, PATTERNS, STUFF, THINGS, held_out

#: Pixel normalisation: OpenAI's, as every CLIP of the package.
MEAN = torch.tensor(OPENAI_DATASET_MEAN).view(3, 1, 1)
STD = torch.tensor(OPENAI_DATASET_STD).view(3, 1, 1)

_COLOURS, _PATTERNS = tuple(COLOURS), PATTERNS
_N, _C, _P = len(CLASSES), len(COLOURS), len(PATTERNS)
_T = len(THINGS)
#: Statements that a caption can make: class, thing with colour, thing with pattern, thing with both.
ATOMS = _N + _T * _C + _T * _P + _T * _C * _P
_HELD = {
    (c, p, t)
    for c in range(_C)
    for p in range(_P)
    for t in range(_T)
    if held_out(_COLOURS[c], _PATTERNS[p], THINGS[t])
}


def atom(cls: int, colour: int = -1, pattern: int = -1) -> int:
    """Number of a statement: class, colour and pattern ids (-1: not said)."""
    thing = cls - len(STUFF)
    if colour < 0 and pattern < 0:
        return cls
    if pattern < 0:
        return _N + thing * _C + colour
    if colour < 0:
        return _N + _T * _C + thing * _P + pattern
    return _N + _T * _C + _T * _P + (thing * _C + colour) * _P + pattern


def true_statements(crops: Crops, least: float = 0.004) -> Tensor:
    """Everything that could truly be said of each crop: (B, ATOMS) float32 in {0, 1}."""
    return statements(crops, crops.share > least)


def statements(crops: Crops, chosen: Tensor) -> Tensor:
    """Everything that could truly be said of the chosen items, (B, MAX_ITEMS) bool: (B, ATOMS) float32 in {0, 1}."""
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
    share, whole = crops.share.cpu().numpy(), crops.whole.cpu().numpy()
    thing = crops.items[..., 0].cpu().numpy() >= len(STUFF)
    clear = np.where(thing, ((share > 0.012) & (whole > 0.35)) | (share > 0.1), share > 0.07)
    return clear & (crops.items[..., 0].cpu().numpy() >= 0)


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
        """Captions for a batch.

        Returns
        -------
        tokens (B, L) int64 with L the longest caption, statements (B, ATOMS) float32
        """
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
            rows.append([*row, *opening[1], self.tokens.eot_token_id])
        length = max(map(len, rows))
        tokens = torch.tensor([r + [0] * (length - len(r)) for r in rows])
        return tokens.to(crops.images.device), said.to(crops.images.device)

    def phrases(self, crops: Crops, rng: random.Random, per_crop: int = 3) -> tuple[Tensor, Tensor]:
        """Short captions, each a noun phrase of something visible in the batch, without repetition.

        Returns
        -------
        tokens (M, L) int64, statements (M, ATOMS) float32 with a single one in each row
        """
        items, seen = crops.items.cpu().numpy(), visible(crops)
        rows: dict[int, list[int]] = {}
        for b in range(len(items)):
            shown = np.nonzero(seen[b])[0].tolist()
            for i in rng.sample(shown, min(per_crop, len(shown))):
                cls, colour, pattern = (int(v) for v in items[b, i])
                words, colour, pattern = self.phrase(cls, colour, pattern, rng)
                before, after = self.openings[rng.randrange(len(self.openings))]
                row = [1, *before, *words, *after, self.tokens.eot_token_id]
                rows.setdefault(atom(cls, colour, pattern), row)
        length = max(map(len, rows.values()))
        tokens = torch.tensor([r + [0] * (length - len(r)) for r in rows.values()])
        said = F.one_hot(torch.tensor(list(rows)), ATOMS).float()
        return tokens.to(crops.images.device), said.to(crops.images.device)

    def phrase(self, cls: int, colour: int, pattern: int, rng: random.Random) -> tuple[list[int], int, int]:
        """Token ids of a noun phrase, and the colour and pattern ids that it names (-1: none)."""
        name = self.classes[cls]
        if cls < len(STUFF):
            words = [name] if rng.random() < 0.6 else [self.the if rng.random() < 0.4 else self.a, name]
            return words, -1, -1
        named_colour, named_pattern = rng.random() < 0.3, rng.random() < 0.3
        if named_colour and named_pattern and (colour, pattern, cls - len(STUFF)) in _HELD:
            named_colour, named_pattern = (True, False) if rng.random() < 0.5 else (False, True)
        words = [self.colours[colour]] * named_colour + [self.patterns[pattern]] * named_pattern + [name]
        lead = rng.random()
        if lead < 0.75:
            words = [self.an if words[0] in self.vowels else self.a, *words]
        return words, colour if named_colour else -1, pattern if named_pattern else -1


def attend(x: Tensor, queries: int | None, attn: nn.MultiheadAttention, mask: Tensor | None) -> Tensor:
    """Multi-head attention written out: the fused kernel's backward is slow for short sequences on a CPU.

    Parameters
    ----------
    x : (B, N, D), normalised input
    queries : number of leading tokens that ask, None for all
    mask : (N, N) additive or None
    """
    b, n, d = x.shape
    h = attn.num_heads
    m = n if queries is None else queries
    if m == n:
        q, k, v = F.linear(x, attn.in_proj_weight, attn.in_proj_bias).view(b, n, 3, h, d // h).permute(2, 0, 3, 1, 4)
    else:
        w, bias = attn.in_proj_weight, attn.in_proj_bias
        q = F.linear(x[:, :m], w[:d], bias[:d]).view(b, m, h, d // h).transpose(1, 2)
        k, v = F.linear(x, w[d:], bias[d:]).view(b, n, 2, h, d // h).permute(2, 0, 3, 1, 4)
    scores = (q * (d // h) ** -0.5) @ k.mT
    if mask is not None:
        scores = scores + mask
    return attn.out_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, m, d))


def blocks(x: Tensor, layers: list[nn.Module], mask: Tensor | None = None) -> Tensor:
    for block in layers:
        x = x + attend(block.ln_1(x), None, block.attn, mask)
        x = x + block.mlp(block.ln_2(x))
    return x


def encode_crops(clip: CLIP, images: Tensor, by_attention_only: bool, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Image embeddings of crops of any size up to the window, (B, E).

    The positional embedding is read from the sub-window at ``corner`` (row, column) of the 8 x 8 grid. With
    ``by_attention_only`` the class token's output is the last block's attention over the patches alone: no
    residual, no MLP. That asks the value path, which dense readouts use, to carry meaning.
    """
    visual = clip.visual
    x = visual.conv1(images).flatten(2).mT
    side = images.shape[-1] // visual.patch_size[0]
    grid = visual.positional_embedding[1:].view(*visual.grid_size, -1)
    place = grid[corner[0] : corner[0] + side, corner[1] : corner[1] + side].reshape(side * side, -1)
    first = (visual.class_embedding + visual.positional_embedding[0]).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([first, x + place], dim=1))
    *trunk, last = visual.transformer.resblocks
    x = blocks(x, trunk)
    normed = last.ln_1(x)
    if by_attention_only:
        hide = torch.zeros(1, x.shape[1], dtype=x.dtype, device=x.device)
        hide[0, 0] = -1e4
        pooled = attend(normed, 1, last.attn, hide)
    else:
        pooled = x[:, :1] + attend(normed, 1, last.attn, None)
        pooled = pooled + last.mlp(last.ln_2(pooled))
    return visual.ln_post(pooled[:, 0]) @ visual.proj


def encode_captions(clip: CLIP, tokens: Tensor) -> Tensor:
    """Text embeddings, (B, E); rows may be shorter than the context length."""
    n = tokens.shape[1]
    x = clip.token_embedding(tokens) + clip.positional_embedding[:n]
    x = blocks(x, list(clip.transformer.resblocks), clip.attn_mask[:n, :n].clamp_min(-1e4).to(x.dtype))
    x = clip.ln_final(x[torch.arange(len(x)), tokens.argmax(-1)])
    return x @ clip.text_projection


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, also_true: Tensor) -> Tensor:
    """Symmetric InfoNCE in which captions that are true of another image do not count as its negatives.

    Parameters
    ----------
    image, text : (B, E) float
    scale : () float, inverse temperature
    also_true : (B, B) bool, caption j is true of image i
    """
    logits = scale * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(also_true & ~own, -1e4)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def phrase_loss(image: Tensor, text: Tensor, scale: Tensor, shows: Tensor, lacks: Tensor) -> Tensor:
    """Symmetric InfoNCE with several positives: every phrase that an image shows against those that it lacks.

    Each positive pair is compared with the negatives of its row (phrases) and of its column (images) alone, so that
    the positives do not compete. Every image counts the same in the first part, every phrase in the second.

    Parameters
    ----------
    image : (B, E) float
    text : (M, E) float
    scale : () float, inverse temperature
    shows, lacks : (B, M) bool, pairs that count as positive and as negative; others are left out
    """
    logits = scale * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
    negative = logits.masked_fill(~lacks, -1e4)
    total = logits.new_zeros(())
    for dim in (1, 0):
        pairs = F.softplus(negative.logsumexp(dim, keepdim=True) - logits) * shows
        count = shows.sum(dim)
        total = total + (pairs.sum(dim) / count.clamp_min(1)).sum() / (count > 0).sum().clamp_min(1)
    return total / 2


class ClipObjective:
    """One training step of the tiny CLIP: a batch of object crops (32 px) or of windows (64 px)."""

    def __init__(self, clip: CLIP, attention_only: float = 0.5, batch: tuple[int, int] = (384, 192)) -> None:
        self.model = self.trained = clip
        self.attention_only, self.batch = attention_only, batch
        self.captioner = Captioner()
        self.samples = 0

    def loss(self, module: nn.Module, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        """Draw a batch and return its loss; ``progress`` in [0, 1] drives the curriculum."""
        windows = 0.15 if progress < 0.5 else 0.15 + 0.6 * min(1.0, (progress - 0.5) / 0.35)
        if rng.random() < windows:
            crops, corner = cache.windows(self.batch[1], rng), (0, 0)
        else:
            crops = cache.objects(self.batch[0], rng, size=32)
            corner = (int(rng.integers(5)), int(rng.integers(5)))
        tokens, said = self.captioner(crops, random.Random(int(rng.integers(2**62))))
        also_true = said @ true_statements(crops).T >= said.sum(1, keepdim=True) - 0.5
        images = ((crops.images - MEAN.to(crops.images)) / STD.to(crops.images)).to(module.visual.conv1.weight.dtype)
        pooled = encode_crops(module, images, bool(rng.random() < self.attention_only), corner)
        text = encode_captions(module, tokens)
        self.samples += len(images)
        scale = module.logit_scale.float().clamp(max=4.0).exp()
        loss = contrastive_loss(pooled, text, scale, also_true.T)
        tokens, said = self.captioner.phrases(crops, random.Random(int(rng.integers(2**62))))
        seen = torch.from_numpy(visible(crops)).to(said.device)
        shows, lacks = statements(crops, seen) @ said.T > 0, true_statements(crops) @ said.T < 1
        return loss + phrase_loss(pooled, encode_captions(module, tokens), scale, shows, lacks)
