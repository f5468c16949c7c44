"""An untrained CLIP, small enough for tests of single blocks."""

import open_clip
import torch

from proxyclip.models.clip import DenseCLIP

WIDTH, HEADS, EMBED = 32, 4, 16


def small_clip(image_size: int = 32, patch: int = 8, layers: int = 3, seed: int = 0) -> DenseCLIP:
    """An untrained CLIP of CLIP's architecture, width 32, with the real tokenizer and two prompts."""
    torch.manual_seed(seed)
    model = open_clip.model.CLIP(
        EMBED,
        dict(image_size=image_size, layers=layers, width=WIDTH, head_width=WIDTH // HEADS, patch_size=patch),
        dict(context_length=77, vocab_size=49408, width=WIDTH, heads=4, layers=2),
        quick_gelu=True,
    )
    for parameter in model.parameters():  # biases and norms start at 0 and 1; random ones make tests sharper
        if parameter.ndim == 1:
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    return DenseCLIP(
        model, open_clip.get_tokenizer("ViT-B-16"), open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD,
        [lambda c: f"a photo of a {c}.", lambda c: f"many {c} in a row."], name="small random CLIP",
    )
