"""Stable Diffusion as a vision foundation model (supplement, section A).

The features of an image are the activations of one block of the denoising U-Net. The autoencoder encodes the image, the
scheduler adds the noise of time step ``t`` to the latent, and the U-Net runs under the empty prompt up to that block.
:mod:`proxyclip.models.unet` counts the blocks and explains what "the 9-th block" means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, SchedulerMixin, UNet2DConditionModel
from torch import Tensor, nn

from proxyclip.models.unet import PROMPT_TOKENS, UNETS, unet_blocks
from proxyclip.models.weights.digests import check_published, sha256_of
from proxyclip.models.weights.formats import abbreviate
from proxyclip.models.weights.hub import fetch_folder, stored_folder

#: The autoencoder that Stable Diffusion 1 and 2 share.
AUTOENCODER = {
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4,
}
#: Files of a diffusers folder that are read; the first one is requested to see whether the hub answers.
FOLDER = ("unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
          "vae/diffusion_pytorch_model.safetensors", "text_encoder/config.json", "text_encoder/model.safetensors",
          "tokenizer/*", "scheduler/*")

T = TypeVar("T")


class DiffusionFeatures(nn.Module):
    """The features of one block of a latent diffusion model.

    Parameters
    ----------
    vae : AutoencoderKL
    unet : UNet2DConditionModel
    scheduler : diffusers scheduler with ``add_noise``
    prompt : (1, tokens, width) float
        Embedding of the empty prompt.
    block : str
        ``"encoder-N"``, ``"middle"`` or ``"decoder-N"``; see :mod:`proxyclip.models.unet`.
    timestep : int
        Time step of the diffusion process, whose noise is added to the latent.
    multiple : int
        The image is padded with zeros, equally on both sides, to a multiple of this many pixels.
    seed : int
        Seed of the noise. All images get the same noise, so that a result does not depend on the rest of the batch.

    Raises
    ------
    ValueError
        If a parameter is not allowed for this U-Net; the sentence says what is.
    """

    prompt: Tensor
    block: str
    timestep: int
    multiple: int
    seed: int

    def __init__(self, vae: AutoencoderKL, unet: UNet2DConditionModel, scheduler: SchedulerMixin, prompt: Tensor,
                 block: str = "encoder-9", timestep: int = 0, multiple: int = 64, seed: int = 0) -> None:
        super().__init__()
        self.vae = vae
        self.unet = unet
        self.scheduler = scheduler
        self.register_buffer("prompt", prompt, persistent=False)
        self.choose(block=block, timestep=timestep, multiple=multiple, seed=seed)

    def choose(self, **options: Any) -> None:
        """Change ``block``, ``timestep``, ``multiple`` or ``seed``."""
        encoder = 1 + sum(len(block.resnets) + len(block.downsamplers or ()) for block in self.unet.down_blocks)
        decoder = sum(len(block.resnets) for block in self.unet.up_blocks)
        blocks = [f"encoder-{n}" for n in range(1, encoder + 1)] + [f"decoder-{n}" for n in range(1, decoder + 1)]
        steps = self.scheduler.config.num_train_timesteps
        for name, value in options.items():
            whole = isinstance(value, int) and not isinstance(value, bool)
            checks = {
                "block": (value in ("middle", *blocks),
                          f"encoder-1 to encoder-{encoder}, middle, or decoder-1 to decoder-{decoder}"),
                "timestep": (whole and 0 <= value < steps, f"an integer from 0 to {steps - 1}"),
                "multiple": (whole and value >= 1, "a positive number of pixels"),
                "seed": (whole and value >= 0, "an integer of at least 0"),
            }
            if name not in checks:
                raise ValueError(f"vfm_options are block, timestep, multiple and seed, got {name!r}")
            fits, allowed = checks[name]
            if not fits:
                raise ValueError(f"{name} must be {allowed}, got {value!r}")
            setattr(self, name, value)

    @torch.no_grad()
    def forward_features(self, pixels: Tensor) -> Tensor:
        """Activations of the chosen block, (B, channels, rows, columns), for pixels (B, 3, H, W) in [-1, 1]."""
        high, wide = (-side % self.multiple for side in pixels.shape[-2:])
        pixels = F.pad(pixels, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        latents = self.vae.encode(pixels).latent_dist.mode() * self.vae.config.scaling_factor
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(latents.shape[1:], generator=generator).to(latents).expand_as(latents)
        timestep = torch.full((len(latents),), self.timestep, dtype=torch.int64, device=latents.device)
        noisy = self.scheduler.add_noise(latents, noise, timestep)
        prompt = self.prompt.to(latents).expand(len(latents), -1, -1)
        return next(hidden for name, hidden in unet_blocks(self.unet, noisy, timestep, prompt) if name == self.block)


def load_stable_diffusion(
    name: str, repository: str, weights: str | PathLike[str] | None, options: Mapping[str, Any]
) -> tuple[DiffusionFeatures, str | None]:
    """Build Stable Diffusion from a diffusers folder; return it with the SHA-256 over its files of weights.

    The name is ``"sd15"``, ``"sd21"``, or any other for a model of their layout; the repository is on the Hugging Face
    hub, or a folder. Weights are a folder, None for those of the repository, or ``"random"``, which leaves the model
    untrained and sets the prompt to zero. Options are parameters of :class:`DiffusionFeatures`. Raises
    ``FileNotFoundError`` or ``ValueError`` if a part is missing and the hub cannot be reached, a file does not fit, or
    an option is not allowed.
    """
    if weights == "random":
        if name not in UNETS:
            raise ValueError(f"untrained weights are for {' and '.join(UNETS)}; {name} is read from its files")
        unet = UNet2DConditionModel(**UNETS[name])
        prompt = torch.zeros(1, PROMPT_TOKENS, UNETS[name]["cross_attention_dim"])
        return _assemble(AutoencoderKL(**AUTOENCODER), unet, DDPMScheduler(), prompt, options), None
    published = weights is None and not Path(repository).is_dir()
    if published:
        folder = stored_stable_diffusion(repository) or fetch_folder(repository, FOLDER, name, "vfm_weights")
    else:
        folder = Path(repository if weights is None else weights)
    if not (folder / "unet" / "config.json").is_file():
        raise FileNotFoundError(f"{folder} is no diffusers folder of Stable Diffusion (it has no unet/config.json); "
                                f"vfm_weights of {name} takes a folder with unet, vae, text_encoder, tokenizer and "
                                "scheduler")
    if odd := next((path for path in folder.rglob("*") if not path.is_dir() and not path.is_file()), None):
        raise ValueError(f"{odd} is no file that could be read, but a device or a link to nothing")
    unet = _part(UNet2DConditionModel, folder, "unet", name)
    vae = _part(AutoencoderKL, folder, "vae", name)
    _refuse_other_unet(unet, vae, folder, name)
    scheduler = _read(folder / "scheduler", name, lambda: DDPMScheduler.from_pretrained(
        folder, subfolder="scheduler", local_files_only=True))
    prompt = empty_prompt(folder, name)
    if prompt.shape[-1] != unet.config.cross_attention_dim:
        raise ValueError(f"{folder} does not fit together: its prompts are {prompt.shape[-1]} wide, but its U-Net "
                         f"reads {unet.config.cross_attention_dim}")
    files = [_weights_file(folder / part) for part in ("unet", "vae", "text_encoder")]
    if published:
        for path in files:
            check_published(path, f"{repository}/{path.relative_to(folder)}")
    return _assemble(vae, unet, scheduler, prompt, options), sha256_of(*files)


def _refuse_other_unet(unet: UNet2DConditionModel, vae: AutoencoderKL, folder: Path, name: str) -> None:
    """Raise a ValueError for a U-Net of another width than the name promises, or one that needs other inputs."""
    expected = UNETS[name]["cross_attention_dim"] if name in UNETS else unet.config.cross_attention_dim
    if unet.config.cross_attention_dim != expected:
        raise ValueError(f"{folder} does not fit {name}: its prompts are {unet.config.cross_attention_dim} wide "
                         f"instead of {expected}")
    needs = [key for key in ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type") if unet.config.get(key)]
    if needs or unet.config.in_channels != vae.config.latent_channels:
        raise ValueError(f"{folder} holds no U-Net as that of Stable Diffusion 1 and 2, which takes a latent, a time "
                         f"step and a prompt: it takes {unet.config.in_channels} channels "
                         f"{'and ' + ', '.join(needs) if needs else ''}".rstrip())


def stored_stable_diffusion(repository: str) -> Path | None:
    """The repository's folder in the cache, if it holds everything that is read; otherwise None."""
    folder = stored_folder(repository, FOLDER)
    if folder is None or not all((folder / part).is_dir() for part in ("tokenizer", "scheduler")):
        return None
    parts = [folder / part for part in ("unet", "vae", "text_encoder")]
    try:
        return folder if all((part / "config.json").is_file() and _weights_file(part) for part in parts) else None
    except FileNotFoundError:
        return None


def _assemble(vae: AutoencoderKL, unet: UNet2DConditionModel, scheduler: SchedulerMixin, prompt: Tensor,
              options: Mapping[str, Any]) -> DiffusionFeatures:
    vae.decoder = vae.post_quant_conv = None  # images are only encoded
    return DiffusionFeatures(vae, unet, scheduler, prompt, **options)


def _read(part: Path, name: str, read: Callable[[], T]) -> T:
    """What a library reads from a part of a diffusers folder, or a ValueError that names the part."""
    try:
        return read()
    except Exception as error:  # a damaged file shows in the libraries in many ways
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ValueError(f"{part} cannot be read as a part of {name}: {reason}") from error


def _part(kind: Any, folder: Path, part: str, name: str) -> Any:
    """One model of a diffusers folder; its library renames the tensors of older layouts, and all of them must fit."""
    model, report = _read(folder / part, name, lambda: kind.from_pretrained(
        folder, subfolder=part, local_files_only=True, output_loading_info=True))
    problems = [f"{problem.split('_')[0]} {abbreviate(map(str, report[problem]))}"
                for problem in ("missing_keys", "unexpected_keys", "mismatched_keys") if report.get(problem)]
    if problems:
        raise ValueError(f"{folder / part} does not fit {name}: {'; '.join(problems)}")
    return model


def empty_prompt(folder: Path, name: str) -> Tensor:
    """Embedding of the empty prompt by the text encoder of a diffusers folder, (1, tokens, width) float32."""
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = _read(folder / "tokenizer", name, lambda: CLIPTokenizer.from_pretrained(
        folder / "tokenizer", local_files_only=True))
    encoder = _part(CLIPTextModel, folder, "text_encoder", name)

    def embed() -> Tensor:
        tokens = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt")
        with torch.no_grad():
            return encoder(tokens.input_ids).last_hidden_state.float()

    return _read(folder / "tokenizer", name, embed)


def _weights_file(folder: Path) -> Path:
    for pattern in ("*.safetensors", "*.bin"):
        if found := sorted(path for path in folder.glob(pattern) if path.name.count(".") == 1):  # fp16, non_ema: two
            return found[0]
    raise FileNotFoundError(f"{folder} has no weights (.safetensors or .bin)")
