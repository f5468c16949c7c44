"""Checkpoints with random values in the names, shapes and containers that the upstream projects publish."""

import math
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


class Draw:
    """Random tensors of a scale that keeps activations of order one.

    An untrained network makes all patches alike, whereas real features differ. So patch embeddings are three times as
    large as usual, and the residual branches add a third of what they would.
    """

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(shape, generator=self.generator)

    def linear(self, name: str, out: int, fan_in: int, scale: float = 1.0) -> State:
        weight = self.normal(out, fan_in, scale=scale * fan_in**-0.5)
        return {f"{name}.weight": weight, f"{name}.bias": self.normal(out, scale=0.1)}

    def norm(self, name: str, width: int) -> State:
        return {f"{name}.weight": 1 + self.normal(width, scale=0.2), f"{name}.bias": self.normal(width, scale=0.2)}

    def patches(self, name: str, width: int, patch: int) -> State:
        fan_in = 3 * patch * patch
        return {f"{name}.weight": self.normal(width, 3, patch, patch, scale=3 * fan_in**-0.5),
                f"{name}.bias": self.normal(width, scale=0.1)}

    def block(self, name: str, width: int, hidden: tuple[str, str] = ("fc1", "fc2")) -> State:
        """Norm, attention, norm, MLP."""
        state = self.norm(f"{name}.norm1", width) | self.linear(f"{name}.attn.qkv", 3 * width, width)
        state |= self.linear(f"{name}.attn.proj", width, width, 0.3) | self.norm(f"{name}.norm2", width)
        state |= self.linear(f"{name}.mlp.{hidden[0]}", 4 * width, width)
        return state | self.linear(f"{name}.mlp.{hidden[1]}", width, 4 * width, 0.3)


def vit(
    width: int, depth: int, patch: int, grid: int, *, registers: int = 0, scaled: bool = False, seed: int = 0
) -> State:
    """DINO's and MAE's encoder; with ``scaled`` (LayerScale) and registers, DINOv2's."""
    draw = Draw(seed)
    state = {"cls_token": draw.normal(1, 1, width), "pos_embed": draw.normal(1, 1 + grid * grid, width, scale=0.5)}
    if scaled:
        state["mask_token"] = draw.normal(1, width)
    if registers:
        state["register_tokens"] = draw.normal(1, registers, width)
    state |= draw.patches("patch_embed.proj", width, patch)
    for i in range(depth):
        state |= draw.block(f"blocks.{i}", width)
        if scaled:
            state[f"blocks.{i}.ls1.gamma"] = draw.normal(width, scale=0.5)
            state[f"blocks.{i}.ls2.gamma"] = draw.normal(width, scale=0.5)
    return state | draw.norm("norm", width)


def dinov3(width: int, depth: int, patch: int, heads: int, seed: int = 0) -> State:
    """DINOv3: storage tokens, no absolute positions, rotary periods, the keys' biases masked to 0."""
    state = vit(width, depth, patch, 1, scaled=True, seed=seed)
    del state["pos_embed"]
    draw = Draw(seed + 1)
    state["storage_tokens"] = draw.normal(1, 4, width)
    quarter = width // heads // 4
    state["rope_embed.periods"] = (100.0 ** (torch.arange(quarter) / quarter)).to(torch.bfloat16)
    for i in range(depth):
        mask = torch.ones(3 * width)
        mask[width : 2 * width] = 0
        state[f"blocks.{i}.attn.qkv.bias_mask"] = mask
    return state


def mae(
    width: int, depth: int, patch: int, grid: int, *, with_decoder: bool = False, seed: int = 0
) -> dict[str, State]:
    """MAE's files nest the weights; the "full" ones hold the decoder too."""
    state = vit(width, depth, patch, grid, seed=seed)
    if with_decoder:
        draw = Draw(seed + 1)
        state |= {"mask_token": draw.normal(1, 1, 16), "decoder_pos_embed": draw.normal(1, 1 + grid * grid, 16)}
        state |= draw.linear("decoder_embed", 16, width) | draw.norm("decoder_norm", 16)
        state |= draw.linear("decoder_blocks.0.attn.qkv", 48, 16) | draw.linear("decoder_pred", 3 * patch * patch, 16)
    return {"model": state}


def sam(width: int, depth: int, heads: int, patch: int, grid: int, window: int, global_blocks: tuple[int, ...],
        neck: int = 256, seed: int = 0) -> State:
    """Segment Anything: the image encoder beside the prompt encoder and the mask decoder."""
    draw = Draw(seed)
    state = {"pos_embed": draw.normal(1, grid, grid, width, scale=0.5)} | draw.patches("patch_embed.proj", width, patch)
    for i in range(depth):
        side = grid if i in global_blocks else window
        state |= draw.block(f"blocks.{i}", width, ("lin1", "lin2"))
        for axis in "hw":
            state[f"blocks.{i}.attn.rel_pos_{axis}"] = draw.normal(2 * side - 1, width // heads, scale=0.3)
    state["neck.0.weight"] = draw.normal(neck, width, 1, 1, scale=width**-0.5)
    state |= draw.norm("neck.1", neck)
    state["neck.2.weight"] = draw.normal(neck, neck, 3, 3, scale=(9 * neck) ** -0.5)
    state |= draw.norm("neck.3", neck)
    state = {f"image_encoder.{name}": value for name, value in state.items()}
    state["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] = draw.normal(2, 128)
    return state | draw.linear("mask_decoder.iou_prediction_head.layers.0", 256, 256)


def clip(width: int, layers: int, patch: int, grid: int, text_width: int, text_layers: int, embed: int,
         vocabulary: int = 49408, context: int = 77, seed: int = 0) -> State:
    """CLIP in open_clip's names, which are OpenAI's; float32."""
    draw = Draw(seed)

    def tower(prefix: str, wide: int, depth: int) -> State:
        state: State = {}
        for i in range(depth):
            name = f"{prefix}transformer.resblocks.{i}"
            state |= {f"{name}.attn.in_proj_{key}": value for key, value in zip(
                ("weight", "bias"), draw.linear("", 3 * wide, wide).values(), strict=True)}
            state |= draw.linear(f"{name}.attn.out_proj", wide, wide) | draw.norm(f"{name}.ln_1", wide)
            state |= draw.linear(f"{name}.mlp.c_fc", 4 * wide, wide) | draw.linear(f"{name}.mlp.c_proj", wide, 4 * wide)
            state |= draw.norm(f"{name}.ln_2", wide)
        return state

    return {
        "visual.class_embedding": draw.normal(width),
        "visual.positional_embedding": draw.normal(1 + grid * grid, width, scale=0.5),
        "visual.proj": draw.normal(width, embed, scale=width**-0.5),
        "visual.conv1.weight": draw.normal(width, 3, patch, patch, scale=(3 * patch * patch) ** -0.5),
        **draw.norm("visual.ln_pre", width), **tower("visual.", width, layers), **draw.norm("visual.ln_post", width),
        "positional_embedding": draw.normal(context, text_width, scale=0.3),
        "token_embedding.weight": draw.normal(vocabulary, text_width, scale=0.5),
        **tower("", text_width, text_layers), **draw.norm("ln_final", text_width),
        "text_projection": draw.normal(text_width, embed, scale=text_width**-0.5),
        "logit_scale": torch.tensor(math.log(100.0)),
    }


def openai(state: State, resolution: int) -> State:
    """OpenAI's precision (matrices half, norms and embeddings single) and the three numbers beside the weights."""
    single = ("ln_", "positional_embedding", "class_embedding", "token_embedding", "logit_scale")
    mixed = {name: value if any(part in name for part in single) else value.half() for name, value in state.items()}
    numbers = {"input_resolution": resolution, "context_length": len(state["positional_embedding"]),
               "vocab_size": len(state["token_embedding.weight"])}
    return mixed | {name: torch.tensor(value) for name, value in numbers.items()}


def write_torchscript(state: State, path: Path) -> Path:
    """A TorchScript archive whose modules nest as the names say, as ``torch.jit.save`` writes CLIP."""
    root = nn.Module()
    for name, value in state.items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if not hasattr(module, folder):
                module.add_module(folder, nn.Module())
            module = getattr(module, folder)
        if value.is_floating_point():
            module.register_parameter(leaf, nn.Parameter(value, requires_grad=False))
        else:
            module.register_buffer(leaf, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(root), path)
    return path
