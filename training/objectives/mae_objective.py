"""Training the tiny MAE: masked autoencoding, then self-distillation of pairs of patches."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor, nn

from training.cache import SceneCache
from training.objectives.objective import SelfTaughtObjective
from training.objectives.vfm_objectives import Backbone, Wrapped, normalised, pixels, tokens_behind


class MaeObjective(SelfTaughtObjective):
    """Masked autoencoding for the share ``alone`` of the training, then self-distillation of pairs.

    First the encoder sees the share ``keep`` of the patches, and a decoder of one block restores the others: their
    pixels, normalised by their own mean and deviation, and the mean and deviation of the colours around them (3 x 3
    patches), which do not depend on the phase of a texture. Then the encoder's average over this training, read at its
    second block, teaches which patches belong together (:mod:`training.objectives.pair_objective`).
    """

    batch, pair_batch = 48, 24
    keep, alone = 0.25, 0.4

    def __init__(self, model: Backbone, **options: Any) -> None:
        width, patch = model.embed_dim, model.patch_embed.patch_size[0]
        block = type(model.blocks[0])
        parts = {"embed": nn.Linear(width, 96), "blocks": nn.Sequential(block(96, 2)), "norm": nn.LayerNorm(96)}
        decoder = nn.ModuleDict({**parts, "out": nn.Linear(96, 3 * patch * patch + 6)})
        trained = Wrapped(model, decoder=decoder)
        trained.mask = nn.Parameter(torch.zeros(1, 1, 96))
        trained.places = nn.Parameter(torch.randn(1, model.patch_embed.num_patches, 96) * 0.02)
        super().__init__(model, trained, **options)
        self.patch = patch

    def family_loss(self, module: Wrapped, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        if progress < self.alone:
            return self.restoration_loss(module, cache, rng)
        return self.distillation_loss(module, cache, self.pair_batch, rng)

    def features(self, module: Wrapped, images: Tensor) -> Tensor:
        return module.model.forward_features(normalised(images, module))[:, module.model.num_prefix_tokens :]

    def read(self, images: Tensor) -> Tensor:
        return tokens_behind(self.teachers["pairs"].model, 2, images)

    def restoration_loss(self, module: Wrapped, cache: SceneCache, rng: Generator) -> Tensor:
        """Loss of masked autoencoding: the decoder's error on the hidden patches."""
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


def restoration_targets(images: Tensor, patch: int) -> tuple[Tensor, Tensor]:
    """The targets of masked autoencoding: (B, 3, S, S) -> (B, N, 3 patch^2) and (B, N, 6).

    These are the pixels of each patch, normalised by their own mean and deviation, and the mean and deviation of each
    channel in the 3 x 3 patches around it.
    """
    b, _, size, _ = images.shape
    side = size // patch
    cells = images.view(b, 3, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5).reshape(b, side * side, -1)
    detail = (cells - cells.mean(-1, keepdim=True)) / (cells.var(-1, keepdim=True) + 1e-2).sqrt()
    moments = F.avg_pool2d(torch.cat([images, images**2], dim=1), patch)
    mean, square = F.avg_pool2d(moments, 3, stride=1, padding=1, count_include_pad=False).flatten(2).mT.chunk(2, dim=-1)
    deviation = (square - mean**2).clamp_min(1e-4).sqrt()
    return detail, torch.cat([mean, 2 * deviation], dim=-1)
