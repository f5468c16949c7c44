"""The whole pipeline, slow and readable: explicit N x N attention per head, explicit window loop, 77 tokens.

Written from the papers (CLIP, ProxyCLIP and its supplement) on tensors in the names of the published checkpoints.
Nothing here calls the package, open_clip, timm or torch's attention, interpolation and normalisation functions.
Images are arrays of bytes; tensors of one image have no batch dimension.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# ----------------------------------------------------------------------------------------------------- small operations


def layer_norm(x: Tensor, state: State, name: str, eps: float) -> Tensor:
    """Over the last dimension."""
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + eps)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x: Tensor, state: State, name: str) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def softmax(x: Tensor) -> Tensor:
    exponentials = torch.exp(x - x.max(-1, keepdim=True).values)
    return exponentials / exponentials.sum(-1, keepdim=True)


def unit(x: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).sum(-1, keepdim=True))


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v for one head after the other, on (N, width)."""
    outputs = []
    for qh, kh, vh in zip(q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True):
        scores = qh @ kh.T / math.sqrt(qh.shape[-1])
        outputs.append(softmax(scores if bias is None else scores + bias) @ vh)
    return torch.cat(outputs, -1)


def patches(pixels: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, tuple[int, int]]:
    """Cut (3, H, W) into patches and project each: (rows * columns, width), row by row."""
    side = weight.shape[-1]
    rows, columns = pixels.shape[1] // side, pixels.shape[2] // side
    cut = [pixels[:, i * side : (i + 1) * side, j * side : (j + 1) * side].reshape(-1)
           for i in range(rows) for j in range(columns)]
    tokens = torch.stack(cut) @ weight.reshape(len(weight), -1).T
    return (tokens if bias is None else tokens + bias), (rows, columns)


# ------------------------------------------------------------------------------------------------------------- resizing


def linear_weights(old: int, new: int) -> Tensor:
    """(new, old): output pixel i samples (i + 1/2) old/new - 1/2 between its two neighbours, clamped to the border."""
    weights = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        at = min(max((i + 0.5) * old / new - 0.5, 0.0), old - 1.0)
        low = int(at)
        weights[i, low] += 1 - (at - low)
        weights[i, min(low + 1, old - 1)] += at - low
    return weights


def cubic(x: float, a: float) -> float:
    """Keys' cubic convolution kernel."""
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def cubic_weights(old: int, new: int, offset: float = 0.0, antialias: bool = False) -> Tensor:
    """(new, old) of a bicubic resize; ``offset`` is what DINO adds to the target size in the scale factor.

    Plain: a = -3/4, four taps, border repeated. Antialiased: a = -1/2, the kernel stretched by the reduction, taps
    outside the border left out and the rest normalised.
    """
    step = old / (new + offset)
    weights = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        centre = (i + 0.5) * step - 0.5
        if antialias:
            stretch = max(step, 1.0)
            for j in range(old):
                weights[i, j] = cubic((j - centre) / stretch, -0.5)
            weights[i] /= weights[i].sum()
        else:
            for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
                weights[i, min(max(j, 0), old - 1)] += cubic(centre - j, -0.75)
    return weights


def resize(table: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Apply (new, old) weights to both sides of (h, w, C)."""
    rows, columns = rows.to(table.dtype), columns.to(table.dtype)
    return torch.einsum("jw,iwc->ijc", columns, torch.einsum("ih,hwc->iwc", rows, table))


def resize_linear(table: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, (h, w, C) -> (*size, C)."""
    return resize(table, linear_weights(table.shape[0], size[0]), linear_weights(table.shape[1], size[1]))


def place_positions(table: Tensor, grid: tuple[int, int], offset: float = 0.0, antialias: bool = False) -> Tensor:
    """Positions (side * side, C) of a square grid on another grid, (rows * columns, C)."""
    side = math.isqrt(len(table))
    if grid == (side, side):
        return table
    square = table.reshape(side, side, -1)
    weights = [cubic_weights(side, new, offset, antialias) for new in grid]
    return resize(square, *weights).reshape(grid[0] * grid[1], -1)


# ----------------------------------------------------------------------------------------------------------------- CLIP


def clip_block(x: Tensor, state: State, name: str, heads: int, act: Callable[[Tensor], Tensor],
               mask: Tensor | None = None) -> Tensor:
    q, k, v = clip_qkv(x, state, name)
    x = x + linear(attend(q, k, v, heads, mask), state, f"{name}.attn.out_proj")
    hidden = act(linear(layer_norm(x, state, f"{name}.ln_2", 1e-5), state, f"{name}.mlp.c_fc"))
    return x + linear(hidden, state, f"{name}.mlp.c_proj")


def clip_qkv(x: Tensor, state: State, name: str) -> tuple[Tensor, Tensor, Tensor]:
    x = layer_norm(x, state, f"{name}.ln_1", 1e-5)
    return (x @ state[f"{name}.attn.in_proj_weight"].T + state[f"{name}.attn.in_proj_bias"]).chunk(3, -1)


def depth_of(state: State, prefix: str) -> int:
    return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in state if name.startswith(prefix))


@dataclass
class Clip:
    """CLIP's weights, and the settings that their names do not show."""

    state: State
    heads: int
    text_heads: int
    act: Callable[[Tensor], Tensor] = quick_gelu

    def states(self, pixels: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Input of every block and the output of the last, each (1 + N, width), for normalised pixels (3, H, W)."""
        s = self.state
        tokens, grid = patches(pixels, s["visual.conv1.weight"], None)
        positions = s["visual.positional_embedding"]
        tokens = torch.cat([s["visual.class_embedding"][None] + positions[:1],
                            tokens + place_positions(positions[1:], grid, offset=0.1)])
        states = [layer_norm(tokens, s, "visual.ln_pre", 1e-5)]
        for i in range(depth_of(s, "visual.transformer.resblocks.")):
            states.append(clip_block(states[-1], s, f"visual.transformer.resblocks.{i}", self.heads, self.act))
        return states, grid

    def embed(self, tokens: Tensor) -> Tensor:
        return unit(layer_norm(tokens, self.state, "visual.ln_post", 1e-5) @ self.state["visual.proj"])

    def text(self, tokens: Tensor) -> Tensor:
        """Unit embedding of one sentence of 77 token numbers, read at the end token, the largest number."""
        s = self.state
        x = s["token_embedding.weight"][tokens] + s["positional_embedding"]
        future = torch.full((len(x), len(x)), float("-inf"), dtype=x.dtype).triu(1)
        for i in range(depth_of(s, "transformer.resblocks.")):
            x = clip_block(x, s, f"transformer.resblocks.{i}", self.text_heads, self.act, future)
        return unit(layer_norm(x, s, "ln_final", 1e-5)[tokens.argmax()] @ s["text_projection"])

    def query(self, query: str, templates: Sequence[Callable[[str], str]], tokenizer: Callable) -> Tensor:
        """Mean of the sentences' unit embeddings, normalised."""
        return unit(torch.stack([self.text(tokenizer([template(query)])[0]) for template in templates]).mean(0))

    def last_block(self) -> str:
        return f"visual.transformer.resblocks.{depth_of(self.state, 'visual.transformer.resblocks.') - 1}"


def proxy_embedding(clip: Clip, tokens: Tensor, grid: tuple[int, int], features: Tensor, beta: float = 1.2,
                    gamma: float = 3.0) -> tuple[Tensor, Tensor]:
    """ProxyCLIP's last block: (1 + N, width) tokens and (h, w, C) proxy features -> (h, w, D) unit embeddings.

    And, (h, w), which patches are undecided: a similarity lies so close to the threshold, 2e-6, that single precision
    cannot tell on which side.
    """
    name = clip.last_block()
    _, _, v = clip_qkv(tokens, clip.state, name)
    height, width, channels = features.shape
    values = resize_linear(v[1:].reshape(*grid, -1), (height, width)).reshape(height * width, -1)
    f = unit(features.reshape(height * width, channels))
    similarity = f @ f.T
    scores = gamma * (similarity - beta * similarity.mean())
    kept = (scores >= 0) | ((scores < 0).all(-1, keepdim=True) & (scores == scores.max(-1, keepdim=True).values))
    attention = softmax(torch.where(kept, scores, float("-inf")))
    heads = [attention @ head for head in values.chunk(clip.heads, -1)]
    z = linear(torch.cat(heads, -1), clip.state, f"{name}.attn.out_proj")
    undecided = ((similarity - beta * similarity.mean()).abs() < 2e-6).any(-1)
    return clip.embed(z).reshape(height, width, -1), undecided.reshape(height, width)


# ------------------------------------------------------------------------------------------------------------- pipeline


def normalised(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return (pixels - torch.tensor(mean, dtype=pixels.dtype)[:, None, None]) / torch.tensor(
        std, dtype=pixels.dtype)[:, None, None]


def padded(window: Tensor, crop: int, multiple: int = 56) -> tuple[Tensor, int, int]:
    """Zeros on both sides of a side shorter than the crop; the window, and where its first row and column now are."""
    _, height, width = window.shape
    high = 0 if height >= crop else math.ceil(height / multiple) * multiple
    wide = 0 if width >= crop else math.ceil(width / multiple) * multiple
    top, left = max(high - height, 0) // 2, max(wide - width, 0) // 2
    out = torch.zeros(3, max(high, height), max(wide, width), dtype=window.dtype)
    out[:, top : top + height, left : left + width] = window
    return out, top, left


def logits(image: np.ndarray, text: Tensor, clip: Clip, features: Callable[[Tensor], Tensor], crop: int, stride: int,
           short_side: int | None = None, cache: dict | None = None) -> tuple[Tensor, Tensor]:
    """(Q, H, W) cosines of an (H, W, 3) image of bytes with text embeddings (Q, D); (H, W), which pixels are undecided.

    ``features`` maps a window in ImageNet's normalisation, (3, h, w), to the proxy's (rows, columns, C). ``cache``
    keeps CLIP's tokens of each window for another call on the same image.
    """
    cache = {} if cache is None else cache
    pixels = torch.from_numpy(image).to(text.dtype)
    size = image.shape[:2]
    if short_side is not None:
        factor = min(short_side / min(size), 2048 / max(size))
        pixels = torch.round(resize_linear(pixels, tuple(int(side * factor + 0.5) for side in size)))
    pixels = pixels.permute(2, 0, 1) / 255
    for_clip = normalised(pixels, CLIP_MEAN, CLIP_STD)
    for_vfm = normalised(pixels, IMAGENET_MEAN, IMAGENET_STD)
    _, height, width = pixels.shape
    total = torch.zeros(len(text) + 1, height, width, dtype=text.dtype)  # one more for the undecided patches
    count = torch.zeros(height, width, dtype=text.dtype)
    for row in range(max(height - crop + stride - 1, 0) // stride + 1):
        for column in range(max(width - crop + stride - 1, 0) // stride + 1):
            bottom, right = min(row * stride + crop, height), min(column * stride + crop, width)
            top, left = max(bottom - crop, 0), max(right - crop, 0)
            window, y, x = padded(for_clip[:, top:bottom, left:right], crop)
            if (row, column) not in cache:
                states, grid = clip.states(window)
                cache[row, column] = states[-2], grid
            tokens, grid = cache[row, column]
            proxy = features(padded(for_vfm[:, top:bottom, left:right], crop)[0])
            embedding, undecided = proxy_embedding(clip, tokens, grid, proxy)
            maps = torch.cat([embedding @ text.T, undecided[..., None].to(text.dtype)], -1)
            cosines = resize_linear(maps, tuple(window.shape[1:]))
            cosines = cosines[y : y + bottom - top, x : x + right - left]
            total[:, top:bottom, left:right] += cosines.permute(2, 0, 1)
            count[top:bottom, left:right] += 1
    averaged = (total / count).permute(1, 2, 0)
    *cosines, undecided = resize_linear(averaged, size).permute(2, 0, 1)
    return torch.stack(cosines), undecided > 0
