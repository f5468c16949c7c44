"""The tiny latent diffusion model: an autoencoder and a text-conditioned denoising U-Net."""

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from proxyclip.models.diffusion import DiffusionFeatures
from proxyclip.tiny.world.captions import CONTEXT_LENGTH, Tokenizer

TEXT_WIDTH = 64


class TinyDiffusion(DiffusionFeatures):
    """A small Stable Diffusion: latents of 4 x 16 x 16 for a 64-px window, prompts of word embeddings.

    The empty prompt is the embedding of the start token, the end token and padding.
    """

    def __init__(self) -> None:
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(16, 24, 32), layers_per_block=1, norm_num_groups=8, latent_channels=4, sample_size=64,
            scaling_factor=1.0)
        unet = UNet2DConditionModel(
            sample_size=16, block_out_channels=(48, 64), layers_per_block=1, attention_head_dim=2, norm_num_groups=8,
            down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2,
            cross_attention_dim=TEXT_WIDTH)
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
    """The shipped part: encoder, U-Net and text table, without the autoencoder's decoder, which only training needs."""
    model = TinyDiffusion()
    for name in ("decoder", "post_quant_conv"):
        delattr(model.vae, name)
    return model
