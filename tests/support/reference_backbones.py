"""Naive forward passes of the vision foundation models, from their papers, on the published parameter names.

Each takes one normalised window (3, H, W) and gives (rows, columns, C). DINO (Caron et al. 2021), DINOv2 (Oquab et al.
2023; registers: Darcet et al. 2023), MAE (He et al. 2022), SAM (Kirillov et al. 2023; its encoder is ViTDet, Li et al.
2022, with MViTv2's decomposed relative positions), DINOv3 (Simeoni et al. 2025).
"""

import math
from collections.abc import Callable

import torch
from reference import attend, depth_of, gelu, layer_norm, linear, patches, place_positions, resize_linear, softmax
from torch import Tensor

State = dict[str, Tensor]


def vit(pixels: Tensor, state: State, heads: int, offset: float = 0.0, antialias: bool = False) -> Tensor:
    """Normalised patch tokens of the last layer of a ViT, with LayerScale and registers where the weights have them."""
    tokens, grid = patches(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"])
    positions = state["pos_embed"][0]
    class_token = state["cls_token"][0] + positions[:1]
    tokens = tokens + place_positions(positions[1:], grid, offset, antialias)
    registers = state["register_tokens"][0] if "register_tokens" in state else tokens[:0]
    x = torch.cat([class_token, registers, tokens])
    for i in range(depth_of(state, "blocks.")):
        x = vit_block(x, state, f"blocks.{i}", heads)
    return layer_norm(x, state, "norm", 1e-6)[1 + len(registers) :].reshape(*grid, -1)


def vit_block(x: Tensor, state: State, name: str, heads: int, eps: float = 1e-6,
              turned: Callable[[Tensor], Tensor] = lambda part: part) -> Tensor:
    """A block of a ViT, with LayerScale where the weights have it; ``turned`` is applied to queries and keys."""
    one = torch.ones((), dtype=x.dtype)
    q, k, v = linear(layer_norm(x, state, f"{name}.norm1", eps), state, f"{name}.attn.qkv").chunk(3, -1)
    attended = linear(attend(turned(q), turned(k), v, heads), state, f"{name}.attn.proj")
    x = x + state.get(f"{name}.ls1.gamma", one) * attended
    hidden = gelu(linear(layer_norm(x, state, f"{name}.norm2", eps), state, f"{name}.mlp.fc1"))
    return x + state.get(f"{name}.ls2.gamma", one) * linear(hidden, state, f"{name}.mlp.fc2")


def mae(pixels: Tensor, state: State, heads: int, crop: int) -> Tensor:
    """MAE's encoder without masking, on the window resized to the crop."""
    square = resize_linear(pixels.permute(1, 2, 0), (crop, crop)).permute(2, 0, 1)
    return vit(square, state, heads)


# ----------------------------------------------------------------------------------------------------------------- SAM


def sam(pixels: Tensor, state: State, heads: int, window: int, global_blocks: tuple[int, ...], side: int) -> Tensor:
    """The neck's output on the window resized to side x side."""
    state = {name.removeprefix("image_encoder."): value for name, value in state.items()}
    pixels = resize_linear(pixels.permute(1, 2, 0), (side, side)).permute(2, 0, 1)
    tokens, grid = patches(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"])
    x = tokens.reshape(*grid, -1) + state["pos_embed"][0]
    for i in range(depth_of(state, "blocks.")):
        x = sam_block(x, state, f"blocks.{i}", heads, 0 if i in global_blocks else window)
    x = x @ state["neck.0.weight"][:, :, 0, 0].T
    x = layer_norm(x, state, "neck.1", 1e-6)
    return layer_norm(convolve3(x, state["neck.2.weight"]), state, "neck.3", 1e-6)


def sam_block(x: Tensor, state: State, name: str, heads: int, window: int) -> Tensor:
    normed = layer_norm(x, state, f"{name}.norm1", 1e-6)
    if window == 0:
        attended = sam_attention(normed, state, f"{name}.attn", heads)
    else:
        rows, columns, width = x.shape
        high, wide = math.ceil(rows / window) * window, math.ceil(columns / window) * window
        padded = torch.zeros(high, wide, width, dtype=x.dtype)
        padded[:rows, :columns] = normed
        for i in range(0, high, window):
            for j in range(0, wide, window):
                part = padded[i : i + window, j : j + window].clone()
                padded[i : i + window, j : j + window] = sam_attention(part, state, f"{name}.attn", heads)
        attended = padded[:rows, :columns]
    x = x + attended
    hidden = gelu(linear(layer_norm(x, state, f"{name}.norm2", 1e-6), state, f"{name}.mlp.lin1"))
    return x + linear(hidden, state, f"{name}.mlp.lin2")


def sam_attention(x: Tensor, state: State, name: str, heads: int) -> Tensor:
    """Attention of all tokens of (h, w, C) with q . (R_h[i - i'] + R_w[j - j']) added to the scores."""
    height, wide, width = x.shape
    q, k, v = linear(x.reshape(height * wide, width), state, f"{name}.qkv").chunk(3, -1)
    by_rows = state[f"{name}.rel_pos_h"][differences(height)]  # (h, h, d): entry i, i' is R_h[i - i']
    by_columns = state[f"{name}.rel_pos_w"][differences(wide)]
    outputs = []
    for qh, kh, vh in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        grid = qh.reshape(height, wide, -1)
        scores = (qh @ kh.T / math.sqrt(qh.shape[-1])).reshape(height, wide, height, wide)
        scores = scores + torch.einsum("ijd,ikd->ijk", grid, by_rows)[:, :, :, None]
        scores = scores + torch.einsum("ijd,jkd->ijk", grid, by_columns)[:, :, None, :]
        outputs.append(softmax(scores.reshape(height * wide, height * wide)) @ vh)
    return linear(torch.cat(outputs, -1), state, f"{name}.proj").reshape(height, wide, width)


def differences(side: int) -> Tensor:
    """(side, side): where i - i' stands among the 2 side - 1 differences from 1 - side on."""
    return torch.arange(side)[:, None] - torch.arange(side)[None] + side - 1


def convolve3(x: Tensor, weight: Tensor) -> Tensor:
    """3 x 3 convolution of (h, w, C) with zeros around, one shift after the other."""
    height, wide, channels = x.shape
    framed = torch.zeros(height + 2, wide + 2, channels, dtype=x.dtype)
    framed[1:-1, 1:-1] = x
    return sum(framed[i : i + height, j : j + wide] @ weight[:, :, i, j].T for i in range(3) for j in range(3))


# -------------------------------------------------------------------------------------------------------------- DINOv3


def dinov3(pixels: Tensor, state: State, heads: int) -> Tensor:
    """DINOv3: rotary positions of the patches in every block, storage tokens, LayerNorm eps 1e-5."""
    tokens, (rows, columns) = patches(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"])
    prefix = torch.cat([state["cls_token"][0], state["storage_tokens"][0]])
    x = torch.cat([prefix, tokens])
    periods = state["rope_embed.periods"].to(x.dtype)
    y = 2 * (torch.arange(rows, dtype=x.dtype) + 0.5) / rows - 1
    z = 2 * (torch.arange(columns, dtype=x.dtype) + 0.5) / columns - 1
    angles = torch.cat([(2 * math.pi * y[:, None] / periods).repeat_interleave(columns, 0),
                        (2 * math.pi * z[:, None] / periods).repeat(rows, 1)], -1)
    for i in range(depth_of(state, "blocks.")):
        name = f"blocks.{i}"
        bias = state[f"{name}.attn.qkv.bias"] * state[f"{name}.attn.qkv.bias_mask"]
        x = vit_block(x, state | {f"{name}.attn.qkv.bias": bias}, name, heads, 1e-5,
                      lambda part: rotated(part, angles, heads, len(prefix)))
    return layer_norm(x, state, "norm", 1e-5)[len(prefix) :].reshape(rows, columns, -1)


def rotated(x: Tensor, angles: Tensor, heads: int, prefix: int) -> Tensor:
    """Turn the pairs (i, i + d/2) of each head by the patch's angles; the tokens in front stay."""
    parts = []
    for head in x.chunk(heads, -1):
        first, second = head[prefix:].chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
        parts.append(torch.cat([head[:prefix], turned]))
    return torch.cat(parts, -1)
