"""The U-Net of Stable Diffusion, block by block, and the evidence for which one the supplement means (section A).

Blocks are counted from one, as in the original implementation of latent diffusion. ``encoder-1`` is the first
convolution; every residual block (with its attention) and every downsampling is another block. ``middle`` follows. In
the decoder the last residual block of a level and the upsampling behind it count as one.

The supplement says "the 9-th block", an input of 672 x 672 and a feature map of 22 x 22 x 1280. Two readings give that
map. ``encoder-9`` is the ninth block and 1280 wide; its 21 x 21 becomes 22 x 22 once the input is padded to a multiple
of 64. ``decoder-3`` upsamples 11 x 11 to 22 x 22 without any padding of the input, but only if its output is read right
after the upsampling: its skip connection is 21 x 21, and diffusers passes that size to the upsampler if a side of the
latent is not a multiple of 8 (as 84), so that a whole U-Net of diffusers has 21 x 21 there as well. Nor is it the ninth
block in any count. The first reading agrees with everything that is stated and is the default; :func:`block_shapes`
shows the evidence without weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

#: The U-Nets of the two published families, for shapes, counts and untrained models.
UNETS: dict[str, dict[str, Any]] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768},
    "sd21": {"sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20),
             "use_linear_projection": True},
}
#: Length of an embedded prompt.
PROMPT_TOKENS = 77


@dataclass(frozen=True)
class BlockShape:
    """The shape of the output of a block of the U-Net."""

    block: str
    channels: int
    rows: int
    columns: int


def unet_blocks(unet: UNet2DConditionModel, latents: Tensor, timestep: Tensor, prompt: Tensor) -> Iterator[
    tuple[str, Tensor]
]:
    """Run a U-Net block by block; blocks behind the last one that is asked for are not computed.

    Takes a U-Net of the layout of Stable Diffusion 1 and 2, latents (B, channels, rows, columns) float, time steps (B,)
    int64 and a prompt (B, tokens, width) float. Yields each block's name and its activations (B, channels, rows,
    columns). An upsampling doubles the size. If the skip connection is smaller by one, the next block is given the
    upsampling at the size of that connection.
    """
    emb = unet.time_embedding(unet.time_proj(timestep).to(latents.dtype))

    def level(block: Any, index: int, hidden: Tensor) -> Tensor:
        hidden = block.resnets[index](hidden, emb)
        attentions = getattr(block, "attentions", None)
        return hidden if attentions is None else attentions[index](
            hidden, encoder_hidden_states=prompt, return_dict=False)[0]

    hidden = unet.conv_in(latents)
    skips = [hidden]
    yield "encoder-1", hidden
    for block in unet.down_blocks:
        for index in range(len(block.resnets)):
            hidden = level(block, index, hidden)
            skips.append(hidden)
            yield f"encoder-{len(skips)}", hidden
        for downsampler in block.downsamplers or ():
            hidden = downsampler(hidden)
            skips.append(hidden)
            yield f"encoder-{len(skips)}", hidden
    hidden = unet.mid_block(hidden, emb, encoder_hidden_states=prompt)
    yield "middle", hidden
    number = 0
    for block in unet.up_blocks:
        for index in range(len(block.resnets)):
            number += 1
            hidden = level(block, index, torch.cat([hidden, skips.pop()], dim=1))
            last = index == len(block.resnets) - 1
            upsamplers = tuple(block.upsamplers or ()) if last else ()
            entering = hidden
            for upsampler in upsamplers:
                hidden = upsampler(hidden)
            yield f"decoder-{number}", hidden
            if upsamplers and skips and skips[-1].shape[-2:] != hidden.shape[-2:]:
                hidden = upsamplers[0](entering, tuple(skips[-1].shape[-2:]))


def block_shapes(name: str = "sd15", side: int = 672, multiple: int = 1) -> list[BlockShape]:
    """Shapes of all blocks of the true architecture, ``"sd15"`` or ``"sd21"``, computed without weights.

    The input is square, of ``side`` pixels, and padded to a ``multiple``.
    """
    if name not in UNETS:
        raise ValueError(f"name must be one of {', '.join(UNETS)}, got {name!r}")
    latent = (side + -side % multiple) // 8
    with torch.device("meta"), torch.no_grad():
        unet = UNet2DConditionModel(**UNETS[name])
        inputs = (torch.empty(1, 4, latent, latent), torch.empty(1, dtype=torch.int64),
                  torch.empty(1, PROMPT_TOKENS, UNETS[name]["cross_attention_dim"]))
        return [BlockShape(block, *hidden.shape[1:]) for block, hidden in unet_blocks(unet, *inputs)]
