"""The tiny latent diffusion model: an autoencoder, a text-conditioned denoising U-Net, and their training."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from numpy.random import Generator
from torch import Tensor, nn

from proxyclip.diffusion import DiffusionFeatures
from proxyclip.tiny.cache import SceneCache
from proxyclip.tiny.captioner import Captioner
from proxyclip.tiny.captions import CONTEXT_LENGTH, Tokenizer

TEXT_WIDTH = 64


class TinyDiffusion(DiffusionFeatures):
    """Stable Diffusion in small: latents of 4 x 16 x 16 for a 64-px window, prompts of word embeddings.

    The empty prompt is the start token, the end token and padding, through the same embedding table.
    """

    def __init__(self) -> None:
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(16, 24, 32),
            layers_per_block=1,
            norm_num_groups=8,
            latent_channels=4,
            sample_size=64,
            scaling_factor=1.0,
        )
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(48, 64),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=2,
            norm_num_groups=8,
        )
        scheduler = DDPMScheduler(num_train_timesteps=1000)
        super().__init__(vae, unet, scheduler, torch.zeros(1, CONTEXT_LENGTH, TEXT_WIDTH), "decoder-4", 0, 8)
        self.text = nn.Embedding(Tokenizer().vocab_size, TEXT_WIDTH)
        self.places = nn.Parameter(torch.randn(CONTEXT_LENGTH, TEXT_WIDTH) * 0.02)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 -> (B, L, TEXT_WIDTH)."""
        return self.text(tokens) + self.places[: tokens.shape[1]]

    @torch.no_grad()
    def forward_features(self, pixels: Tensor) -> Tensor:
        self.prompt = self.encode_text(Tokenizer()([""]).to(pixels.device))
        return super().forward_features(pixels)


def build_sd() -> TinyDiffusion:
    """The shipped part: encoder, U-Net and text table; the autoencoder's decoder is left behind after training."""
    model = TinyDiffusion()
    model.vae.decoder = model.vae.post_quant_conv = None
    return model


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
