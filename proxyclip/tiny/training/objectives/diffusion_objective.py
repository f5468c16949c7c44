"""Training the tiny latent diffusion model: first its autoencoder, then its denoiser."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from proxyclip.tiny.latent_diffusion import TinyDiffusion
from proxyclip.tiny.training.cache import SceneCache
from proxyclip.tiny.training.captioner import Captioner


class SdObjective:
    """First the autoencoder (reconstruction, slight KL), then the denoiser on its frozen latents with captions.

    A tenth of the captions is empty, so that the empty prompt means "anything".
    """

    def __init__(self, model: TinyDiffusion, batch: int = 24, autoencoder: float = 0.35) -> None:
        # The trained model has the decoder that the shipped one lacks, and otherwise its weights.
        whole = TinyDiffusion()
        whole.load_state_dict(model.state_dict(), strict=False)
        self.model = model
        self.trained = whole.to(next(model.parameters()).device)
        self.batch, self.autoencoder = batch, autoencoder
        self.captioner = Captioner()
        self.samples = 0

    def go_on_from_shipped(self) -> None:
        """Train the denoiser alone: the autoencoder's decoder, with which the encoder learns, is not shipped."""
        self.autoencoder = 0.0

    def loss(self, module: TinyDiffusion, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        dtype = module.places.dtype
        if progress < self.autoencoder:
            small = rng.random() < 0.5
            crops = cache.objects(self.batch, rng, size=32) if small else cache.windows(self.batch // 3, rng)
            images = (crops.images * 2 - 1).to(dtype)
            self.samples += len(images)
            posterior = module.vae.encode(images).latent_dist
            restored = module.vae.decode(posterior.sample()).sample
            kl = (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
            return F.mse_loss(restored.float(), images.float()) + 2e-3 * kl
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
