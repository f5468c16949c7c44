"""Cells of a window: a model that sees a few patches at a time, and what such a model finds alike."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.objectives.vfm_objectives import Backbone, add_positions

#: Side in pixels of what a model of cells sees around a patch.
CELL = 16


def cell_features(model: Backbone, images: Tensor, corner: tuple[int, int]) -> Tensor:
    """Unit patch features (B, N, D) of a timm ViT that sees one cell of ``CELL`` pixels at a time.

    Images (B, 3, S, S) are normalised, and S is a multiple of ``CELL``. The positions of every cell are taken from the
    same ``corner`` of the model's grid, so that no feature can tell where in the window its cell lies.
    """
    tokens = model.patch_embed(images)
    b, n, width = tokens.shape
    side, cell = int(n**0.5), CELL // model.patch_embed.patch_size[0]
    cells = side // cell
    tokens = tokens.view(b, cells, cell, cells, cell, width).transpose(2, 3).reshape(-1, cell * cell, width)
    tokens = model.norm(model.blocks(add_positions(model, tokens, corner)))[:, model.num_prefix_tokens :]
    tokens = tokens.reshape(b, cells, cells, cell, cell, width).transpose(2, 3).reshape(b, n, width)
    return F.normalize(tokens.float(), dim=-1)


@torch.no_grad()
def consensus(model: Backbone, images: Tensor, sharpness: float = 20.0) -> Tensor:
    """Unit cell features (B, N, D) of two layings of the cells, half a cell apart, averaged and then diffused.

    Diffusion replaces each feature f by ``softmax(sharpness S) f``, the average of those of its window that resemble
    it.
    """
    patch, size = model.patch_embed.patch_size[0], images.shape[-1]
    middle = (model.patch_embed.grid_size[0] - CELL // patch) // 2
    wide, views = F.pad(images, (CELL // 2,) * 4, mode="reflect"), []
    for margin, view in ((0, images), (CELL // 2, wide)):
        side, skip = view.shape[-1] // patch, margin // patch
        grid = cell_features(model, view, (middle, middle)).unflatten(1, (side, side))
        views.append(grid[:, skip : skip + size // patch, skip : skip + size // patch].flatten(1, 2))
    features = F.normalize(views[0] + views[1], dim=-1)
    weights = (sharpness * features @ features.mT).softmax(dim=-1)
    return F.normalize(weights @ features, dim=-1)
