"""The method as the papers print it, for comparison: simple and correct, but not fast.

Of the package it uses only the models' weights and the resized positions, so that both compute the same function. What
it does the simple way:

- every attention forms its N x N matrix for every head, ``softmax(q k^T / sqrt(d)) v``, as CLIP's and DINO's papers
  write it (``fused=True`` leaves the backbones to PyTorch's fused kernel and keeps the rest plain);
- the proxy attention normalises, masks and softmaxes a copy of the similarities for every head, takes the mean from the
  matrix, and projects after averaging, on the fine grid;
- one window at a time;
- every query runs its prompts through the text tower over all 77 positions, every time.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.attention import sides
from proxyclip.models.clip import DenseCLIP
from proxyclip.models.positions import resize_positions
from proxyclip.models.vfm import VFM
from proxyclip.segment import ProxyCLIP

#: A block of CLIP; its attributes are not typed, since PyTorch gives those of every module one type.
Block = Any


def attention(q: Tensor, k: Tensor, v: Tensor, fused: bool) -> Tensor:
    """Attention of every head, (B, heads, N, d) each."""
    if fused:
        return F.scaled_dot_product_attention(q, k, v)
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v


def split(tokens: Tensor, heads: int) -> Tensor:
    """(B, N, heads * d) -> (B, heads, N, d)."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def join(heads: Tensor) -> Tensor:
    """(B, heads, N, d) -> (B, N, heads * d)."""
    return heads.transpose(1, 2).flatten(2)


def clip_qkv(block: Block, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of a block of CLIP, per head."""
    projected = F.linear(block.ln_1(tokens), block.attn.in_proj_weight, block.attn.in_proj_bias)
    q, k, v = (split(part, block.attn.num_heads) for part in projected.chunk(3, dim=-1))
    return q, k, v


def clip_block(block: Block, tokens: Tensor, fused: bool) -> Tensor:
    """A residual attention block of CLIP."""
    tokens = tokens + block.attn.out_proj(join(attention(*clip_qkv(block, tokens), fused)))
    return tokens + block.mlp(block.ln_2(tokens))


def clip_trunk(clip: DenseCLIP, pixels: Tensor, fused: bool) -> tuple[Tensor, tuple[int, int]]:
    """Tokens that enter the last block, and the grid of the patches."""
    visual: Any = clip.model.visual
    patches = visual.conv1(pixels)
    grid = sides(patches)
    positions = resize_positions(visual.positional_embedding, visual.grid_size, grid, 1, clip.position_mode)
    class_token = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    tokens = visual.ln_pre(torch.cat([class_token, patches.flatten(2).transpose(1, 2)], dim=1) + positions)
    for block in visual.transformer.resblocks[:-1]:
        tokens = clip_block(block, tokens, fused)
    return tokens, grid


def vit_features(vfm: VFM, pixels: Tensor, fused: bool) -> Tensor:
    """Last-layer patch features of a plain Vision Transformer such as DINO's, (B, C, rows, columns)."""
    backbone: Any = vfm.backbone
    assert vfm.spec.position is not None
    grid = (pixels.shape[-2] // vfm.patch_size, pixels.shape[-1] // vfm.patch_size)
    patches = backbone.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
    positions = resize_positions(vfm.positions, backbone.patch_embed.grid_size, grid, backbone.num_prefix_tokens,
                                 vfm.spec.position)
    tokens = torch.cat([backbone.cls_token.expand(len(patches), -1, -1), patches], dim=1) + positions
    for block in backbone.blocks:
        q, k, v = (split(part, block.attn.num_heads) for part in block.attn.qkv(block.norm1(tokens)).chunk(3, dim=-1))
        tokens = tokens + block.attn.proj(join(attention(q, k, v, fused)))
        tokens = tokens + block.mlp(block.norm2(tokens))
    return backbone.norm(tokens)[:, backbone.num_prefix_tokens :].transpose(1, 2).unflatten(-1, grid)


def proxy_attention(features: Tensor, values: Tensor, beta: float = 1.2, gamma: float = 3.0) -> Tensor:
    """Normalise, mask and average, in every head: (B, heads, rows * columns, d).

    Features (B, C, rows, columns) are the vision foundation model's, values (B, heads, d, n, m) CLIP's on its own grid.
    """
    heads, grid = values.shape[1], sides(features)
    values = F.interpolate(values.flatten(0, 1), size=grid, mode="bilinear", align_corners=False)
    values = values.unflatten(0, (-1, heads)).flatten(3).transpose(-2, -1)
    unit = F.normalize(features.flatten(2), dim=1)
    similarity = (unit.transpose(1, 2) @ unit)[:, None].repeat(1, heads, 1, 1)
    scores = gamma * (similarity - beta * similarity.mean(dim=(-2, -1), keepdim=True))
    return scores.masked_fill(scores < 0, float("-inf")).softmax(dim=-1) @ values


def embed_window(model: ProxyCLIP, pixels: Tensor, fused: bool = False) -> Tensor:
    """Unit embeddings (D, rows, columns) of the patches of one window, (3, H, W) in 0..1.

    With ``fused`` the backbones, not the proxy attention, use PyTorch's fused attention.
    """
    pixels, vfm = pixels[None], model.vfm
    assert vfm is not None
    visual: Any = model.clip.model.visual
    tokens, grid = clip_trunk(model.clip, model.clip.normalize(pixels), fused)
    features = vit_features(vfm, vfm.normalize(pixels), fused)
    last = visual.transformer.resblocks[-1]
    _, _, values = clip_qkv(last, tokens)
    values = values[:, :, 1:].transpose(-2, -1).unflatten(-1, grid)
    attended = last.attn.out_proj(join(proxy_attention(features, values)))
    embeddings = F.normalize(visual.ln_post(attended) @ visual.proj, dim=-1)
    return embeddings[0].T.unflatten(-1, sides(features))


def encode_queries(clip: DenseCLIP, queries: Sequence[str]) -> Tensor:
    """Unit embedding of each query over all prompts, with open_clip's own text tower: (Q, D)."""
    rows = []
    for query in queries:
        tokens = clip.tokenizer([template(query) for template in clip.templates])
        embeddings = clip.model.encode_text(tokens.to(clip.model.positional_embedding.device), normalize=True)
        rows.append(F.normalize(embeddings.mean(dim=0), dim=-1))
    return torch.stack(rows)
