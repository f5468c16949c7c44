"""Training the tiny latent diffusion model: its autoencoder, its denoiser, then pairs of patches."""

import random
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from proxyclip.attention import unit
from proxyclip.models.unet import unet_blocks
from proxyclip.tiny.latent_diffusion import TinyDiffusion
from proxyclip.tiny.world.captions import Tokenizer
from training.cache import SceneCache
from training.captioner import Captioner
from training.objectives.objective import SelfTaughtObjective

#: Where the denoiser is read as a teacher: the first block behind the input has fine detail, the middle a wide view.
TEACHING_BLOCKS, TEACHING_TIMESTEP = ("encoder-2", "middle"), 50


class SdObjective(SelfTaughtObjective):
    """First the autoencoder, then the denoiser, then self-distillation of pairs.

    The autoencoder learns by reconstruction with a small KL term, the denoiser on its frozen latents with captions. A
    tenth of them are empty, so that the empty prompt means "anything". Then the average of the denoiser over this
    training, read at :data:`TEACHING_BLOCKS`, teaches the block that is shipped which patches belong together
    (:mod:`training.objectives.pair_objective`); the autoencoder no longer changes. ``autoencoder`` and ``denoiser`` are
    the progress at which their training ends. Cosines of two concatenated blocks are lower than those of one, and so
    are the teacher's ``limits`` than those of the MAE.
    """

    batch = 24
    autoencoder, denoiser = 1 / 6, 0.5
    limits = (0.6, -0.2)

    def __init__(self, model: TinyDiffusion, **options: Any) -> None:
        # The trained model has the decoder that the shipped one lacks, and otherwise its weights.
        whole = TinyDiffusion()
        whole.load_state_dict(model.state_dict(), strict=False)
        super().__init__(model, whole, **options)
        self.captioner = Captioner()

    def family_loss(self, module: TinyDiffusion, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        if progress < self.autoencoder:
            return self.restoration_loss(module, cache, rng)
        if progress < self.denoiser:
            return self.denoising_loss(module, cache, rng)
        return self.distillation_loss(module, cache, self.batch, rng, *self.limits)

    def features(self, module: TinyDiffusion, images: Tensor) -> Tensor:
        return unet_features(module, images, (module.block,), module.timestep)

    def read(self, images: Tensor) -> Tensor:
        return unet_features(self.teachers["pairs"], images, TEACHING_BLOCKS, TEACHING_TIMESTEP)

    def restoration_loss(self, module: TinyDiffusion, cache: SceneCache, rng: Generator) -> Tensor:
        """Loss of the autoencoder: the error of the restored images and a small KL term."""
        small = rng.random() < 0.5
        crops = cache.objects(self.batch, rng, size=32) if small else cache.windows(self.batch // 3, rng)
        images = (crops.images * 2 - 1).to(module.places.dtype)
        self.samples += len(images)
        posterior = module.vae.encode(images).latent_dist
        restored = module.vae.decode(posterior.sample()).sample
        kl = (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        return F.mse_loss(restored.float(), images.float()) + 2e-3 * kl

    def denoising_loss(self, module: TinyDiffusion, cache: SceneCache, rng: Generator) -> Tensor:
        """Loss of the denoiser: the error of the noise that it predicts from a latent and a caption."""
        dtype = module.places.dtype
        crops = cache.windows(self.batch, rng, zoom=(0.6, 1.25))
        self.samples += len(crops.images)
        tokens, _ = self.captioner(crops, random.Random(int(rng.integers(2**62))))
        empty = torch.from_numpy(rng.random(len(tokens)) < 0.1).to(tokens.device)
        tokens[empty] = 0
        tokens[empty, 0], tokens[empty, 1] = 1, self.captioner.tokens.eot_token_id
        with torch.no_grad():
            latents = module.vae.encode((crops.images * 2 - 1).to(dtype)).latent_dist.mode().float()
        noise = torch.from_numpy(rng.standard_normal(latents.shape).astype("float32")).to(latents)
        time = torch.from_numpy(rng.integers(0, 1000, len(latents))).to(latents.device)
        noisy = module.scheduler.add_noise(latents, noise, time)
        guess = module.unet(noisy.to(dtype), time, module.encode_text(tokens)).sample
        return F.mse_loss(guess.float(), noise)


def unet_features(model: TinyDiffusion, images: Tensor, blocks: Sequence[str], timestep: int) -> Tensor:
    """Activations of blocks of the U-Net for images (B, 3, S, S) in [0, 1], with gradients, (B, N, C) float.

    As :meth:`proxyclip.models.diffusion.DiffusionFeatures.forward_features` reads them, with the same noise for every
    image and under the empty prompt; unit length each, side by side on the latents' grid.
    """
    dtype = model.places.dtype
    with torch.no_grad():
        latents = model.vae.encode((images * 2 - 1).to(dtype)).latent_dist.mode()
    noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(model.seed)).to(latents)
    time = torch.full((len(latents),), timestep, dtype=torch.int64, device=latents.device)
    noisy = model.scheduler.add_noise(latents, noise.expand_as(latents), time)
    prompt = model.encode_text(Tokenizer()([""]).to(latents.device)).expand(len(latents), -1, -1)
    found = {}
    for name, hidden in unet_blocks(model.unet, noisy, time, prompt):
        if name in blocks:
            size = latents.shape[-2:]
            if hidden.shape[-2:] != size:
                hidden = F.interpolate(hidden, size, mode="bilinear", align_corners=False)
            found[name] = hidden.flatten(2).mT
        if len(found) == len(blocks):
            break
    return torch.cat([unit(found[name]) for name in blocks], dim=-1)
