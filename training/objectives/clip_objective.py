"""Training the tiny CLIP: crops and captions, both towers written out, and the contrastive losses."""

import random
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from numpy.random import Generator
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from training.cache import SceneCache
from training.captioner import Captioner, statements, true_statements, visible
from training.objectives.objective import Objective

#: Pixel normalisation: OpenAI's, as of every CLIP in the package.
MEAN = torch.tensor(OPENAI_DATASET_MEAN).view(3, 1, 1)
STD = torch.tensor(OPENAI_DATASET_STD).view(3, 1, 1)


def attend(x: Tensor, queries: int | None, attn: nn.MultiheadAttention, mask: Tensor | None) -> Tensor:
    """Multi-head attention written out, since the fused kernel's backward is slow for short sequences on a CPU.

    The input (B, N, D) is normalised, the first ``queries`` tokens are queries (all for None), the mask (N, N) is
    added.
    """
    b, n, d = x.shape
    h = attn.num_heads
    m = queries or n
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


def blocks(x: Tensor, layers: Iterable[ResidualAttentionBlock], mask: Tensor | None = None) -> Tensor:
    for block in layers:
        x = x + attend(block.ln_1(x), None, block.attn, mask)
        x = x + block.mlp(block.ln_2(x))
    return x


def encode_crops(clip: CLIP, images: Tensor, by_attention_only: bool, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """Image embeddings of crops of any size up to the window, (B, E).

    The positional embedding is read from the sub-window at ``corner`` (row, column) of the 8 x 8 grid. With
    ``by_attention_only`` the class token's output is the last block's attention over the patches alone, without
    residual and MLP. So the values, which dense readouts use, have to carry the meaning.
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
    """Symmetric InfoNCE of (B, E) images and texts at an inverse temperature.

    Captions that are true of another image, ``also_true`` (B, B) for caption j and image i, do not count as its
    negatives.
    """
    logits = scale * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(also_true & ~own, -1e4)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def phrase_loss(image: Tensor, text: Tensor, scale: Tensor, shows: Tensor, lacks: Tensor) -> Tensor:
    """Symmetric InfoNCE with several positives: every phrase that an image shows against those that it lacks.

    Images are (B, E), texts (M, E), ``shows`` and ``lacks`` (B, M) bool; pairs in neither are left out. Each positive
    pair is compared only with the negatives of its row (phrases) and of its column (images), so that positives do not
    compete. All images have the same weight in the first part, all phrases in the second.
    """
    logits = scale * F.normalize(image.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T
    negative = logits.masked_fill(~lacks, -1e4)
    total = logits.new_zeros(())
    for dim in (1, 0):
        pairs = F.softplus(negative.logsumexp(dim, keepdim=True) - logits) * shows
        count = shows.sum(dim)
        total = total + (pairs.sum(dim) / count.clamp_min(1)).sum() / (count > 0).sum().clamp_min(1)
    return total / 2


class ClipObjective(Objective):
    """Contrastive learning on batches of object crops (32 px) or of windows (64 px)."""

    batch = (384, 192)
    attention_only = 0.5  #: Share of the steps in which the class token pools by attention alone.

    def __init__(self, clip: CLIP, **options: Any) -> None:
        super().__init__(clip, **options)
        self.captioner = Captioner()

    def loss(self, module: CLIP, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
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
