"""Training the tiny MAE: masked autoencoding, then self-distillation of pairs of patches."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor, nn

from proxyclip.tiny.training.cache import SceneCache
from proxyclip.tiny.training.objectives.pair_objective import (
    PLACES,
    PairTeacher,
    composed,
    composed_loss,
    mean_by_place,
    random_shapes,
)
from proxyclip.tiny.training.objectives.vfm_objectives import MEAN, STD, Wrapped, add_positions, pixels, recolour
from proxyclip.tiny.training.optim import fastest_dtype
from proxyclip.tiny.world.scenes import patch_labels


class MaeObjective:
    """Masked autoencoding, then self-distillation of pairs.

    First the encoder sees 25 % of the patches, and a decoder of one block restores what is hidden of the others: their
    pixels, normalised by their own mean and deviation, and the mean and deviation of the colours around them (3 x 3
    patches), which do not depend on the phase of a texture. Then the encoder's average over this training, read at its
    second block, teaches which patches belong together (:mod:`proxyclip.tiny.training.objectives.pair_objective`).

    Parameters
    ----------
    model : nn.Module
    batch, pair_batch : int
        Windows a step of the first and the second part.
    keep : float
        Share of patches that the encoder sees.
    alone : float
        Share of the training that masked autoencoding has for itself.
    """

    def __init__(
        self, model: nn.Module, batch: int = 48, keep: float = 0.25, alone: float = 0.4, pair_batch: int = 24
    ) -> None:
        width, patch = model.embed_dim, model.patch_embed.patch_size[0]
        block = type(model.blocks[0])
        decoder = nn.ModuleDict(
            {
                "embed": nn.Linear(width, 96),
                "blocks": nn.Sequential(block(96, 2)),
                "norm": nn.LayerNorm(96),
                "out": nn.Linear(96, 3 * patch * patch + 6),
            }
        )
        self.model = model
        self.trained = Wrapped(model, decoder=decoder)
        count = model.patch_embed.num_patches
        self.trained.mask = nn.Parameter(torch.zeros(1, 1, 96))
        self.trained.places = nn.Parameter(torch.randn(1, count, 96) * 0.02)
        self.trained.to(next(model.parameters()).device)  # the heads; the model is there
        self.batch, self.keep, self.patch, self.alone, self.pair_batch = batch, keep, patch, alone, pair_batch
        self.samples = 0
        self.slow = {k: v.detach().float().clone() for k, v in self.model.state_dict().items()}
        self.teacher: PairTeacher | None = None

    def loss(self, module: nn.Module, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        if progress < self.alone:
            return self.restoration_loss(module, cache, rng)
        if self.teacher is None:
            read = self.reader(self.slow)
            self.teacher = PairTeacher(read, mean_by_place(read, cache))
        self.samples += self.pair_batch
        crops = cache.windows(self.pair_batch, rng, zoom=(0.6, 1.25))
        shapes = torch.from_numpy(random_shapes(self.pair_batch, crops.images.shape[-1], rng)).to(crops.images.device)
        likeness = self.teacher.likeness(crops.images)
        crops.images = recolour(composed(crops.images, shapes), rng)
        features = module.model.forward_features(pixels(crops, module))[:, module.model.num_prefix_tokens :]
        return composed_loss(features, likeness, patch_labels(shapes, self.patch))

    def reader(self, weights: dict[str, Tensor], depth: int = 2) -> Callable[[Tensor], Tensor]:
        """Patch tokens behind block ``depth`` of a frozen copy with these weights, from pixels in 0..1."""
        frozen = copy.deepcopy(self.model)
        frozen.load_state_dict(weights)
        frozen.to(fastest_dtype(next(self.model.parameters()).device.type)).requires_grad_(False)

        def read(images: Tensor) -> Tensor:
            normal = ((images - MEAN.to(images)) / STD.to(images)).to(frozen.pos_embed.dtype)
            tokens = add_positions(frozen, frozen.patch_embed(normal), (0, 0))
            return frozen.blocks[:depth](tokens)[:, frozen.num_prefix_tokens :]

        return read

    def restoration_loss(self, module: nn.Module, cache: SceneCache, rng: Generator) -> Tensor:
        """Masked autoencoding: the error of what the decoder restores of hidden patches."""
        crops = cache.windows(self.batch, rng, zoom=(0.6, 1.25))
        self.samples += self.batch
        images = pixels(crops, module)
        model, decoder = module.model, module.decoder
        tokens = model.patch_embed(images) + model.pos_embed[:, 1:]
        b, n, _ = tokens.shape
        order = torch.from_numpy(rng.random((b, n), dtype=np.float32)).to(tokens.device).argsort(dim=1)
        seen = order[:, : int(self.keep * n)]
        kept = tokens.gather(1, seen[..., None].expand(-1, -1, tokens.shape[-1]))
        first = (model.cls_token + model.pos_embed[:, :1]).expand(b, -1, -1)
        encoded = decoder["embed"](model.norm(model.blocks(torch.cat([first, kept], dim=1))))[:, 1:]
        full = module.mask.expand(b, n, -1).scatter(1, seen[..., None].expand(-1, -1, encoded.shape[-1]), encoded)
        restored = decoder["out"](decoder["norm"](decoder["blocks"](full + module.places))).float()
        detail, around = restoration_targets(images.float(), self.patch)
        wrong = ((restored[..., :-6] - detail) ** 2).mean(-1) + ((restored[..., -6:] - around) ** 2).mean(-1)
        hidden = torch.ones(b, n, device=tokens.device).scatter(1, seen, 0.0)
        return (wrong * hidden).sum() / hidden.sum()

    @torch.no_grad()
    def after_step(self, module: nn.Module, progress: float, momentum: float = 0.99) -> None:
        """Move the averaged weights towards the model's, until they teach."""
        if self.teacher is not None:
            return
        for k, v in self.model.state_dict().items():
            self.slow[k].lerp_(v.float(), 1 - momentum)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights, for a checkpoint; and what the teacher takes out, once there is one."""
        return self.slow if self.teacher is None else {**self.slow, PLACES: self.teacher.places}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the averaged weights of a checkpoint, and the teacher."""
        self.slow = {k: v.detach().float().clone() for k, v in state.items() if k != PLACES}
        self.teacher = PairTeacher(self.reader(self.slow), state[PLACES]) if PLACES in state else None


def restoration_targets(images: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """What masked autoencoding restores: (B, 3, S, S) -> (B, N, 3 patch^2) and (B, N, 6).

    The pixels of each patch, normalised by their own mean and deviation; and mean and deviation of each channel in
    3 x 3 patches around it.
    """
    b, _, size, _ = images.shape
    side = size // patch
    cells = images.view(b, 3, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5).reshape(b, side * side, -1)
    detail = (cells - cells.mean(-1, keepdim=True)) / (cells.var(-1, keepdim=True) + 1e-2).sqrt()
    moments = F.avg_pool2d(torch.cat([images, images**2], dim=1), patch)
    mean, square = F.avg_pool2d(moments, 3, stride=1, padding=1, count_include_pad=False).flatten(2).mT.chunk(2, dim=-1)
    deviation = (square - mean**2).clamp_min(1e-4).sqrt()
    return detail, torch.cat([mean, 2 * deviation], dim=-1)
