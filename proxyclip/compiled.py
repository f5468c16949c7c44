"""``torch.compile`` for the backbones: an option, since it costs compiling and pays on GPUs first of all."""

from __future__ import annotations

from typing import Any

from torch import nn

from proxyclip.segment import ProxyCLIP


def compile_blocks(model: ProxyCLIP, **options: Any) -> list[nn.Module]:
    """Compile the transformer blocks of a model's backbones, in place.

    The first window of each size then waits for the compiler; ``benchmarks/image_speed.py --compile`` measures what it
    brings. Of CLIP's blocks, which the rules open, the MLPs are compiled; of the vision foundation model whole blocks.
    Stable Diffusion's U-Net, which is left at an inner block, stays as it is.

    Parameters
    ----------
    model : ProxyCLIP
    **options
        For :meth:`torch.nn.Module.compile`, for example ``mode="max-autotune"``.

    Returns
    -------
    list of nn.Module
        What was compiled.
    """
    modules = [block.mlp for block in model.clip.model.visual.transformer.resblocks]
    if model.vfm is not None:
        modules += list(getattr(model.vfm.backbone, "blocks", ()))
    for module in modules:
        module.compile(**options)
    return modules
