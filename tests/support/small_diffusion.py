"""Stable Diffusion 1.5 in its own layout, narrow and untrained, and as the folder of files that diffusers reads."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def small_unet(prompt_width: int = 8) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16, 16, 16), norm_num_groups=4, attention_head_dim=2,
        cross_attention_dim=prompt_width).eval()


def small_vae() -> AutoencoderKL:
    torch.manual_seed(1)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8), norm_num_groups=2, latent_channels=4).eval()


def write_folder(path: Path) -> Path:
    """U-Net, autoencoder, scheduler, text encoder and tokenizer, with prompts of the published width; no
    ``model_index.json``."""
    from transformers import CLIPTextConfig, CLIPTextModel

    small_unet(768).save_pretrained(path / "unet")
    small_vae().save_pretrained(path / "vae")
    DDPMScheduler(**BETAS).save_pretrained(path / "scheduler")
    torch.manual_seed(4)
    CLIPTextModel(CLIPTextConfig(
        vocab_size=4, hidden_size=768, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=0, eos_token_id=1, pad_token_id=1)).save_pretrained(path / "text_encoder")
    (path / "tokenizer").mkdir()
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a": 2, "a</w>": 3}
    (path / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    (path / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (path / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}))
    return path
