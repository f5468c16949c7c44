"""Training the tiny latent diffusion model: its autoencoder, its denoiser, then pairs of patches."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from proxyclip.attention import unit
from proxyclip.models.unet import unet_blocks
from proxyclip.tiny.latent_diffusion import TinyDiffusion
from proxyclip.tiny.training.cache import SceneCache
from proxyclip.tiny.training.captioner import Captioner
from proxyclip.tiny.training.objectives.pair_objective import (
    PLACES,
    PairTeacher,
    composed,
    composed_loss,
    mean_by_place,
    random_shapes,
)
from proxyclip.tiny.training.objectives.vfm_objectives import recolour
from proxyclip.tiny.training.optim import fastest_dtype
from proxyclip.tiny.world.captions import Tokenizer
from proxyclip.tiny.world.scenes import patch_labels

#: Where the denoiser is read as a teacher: the first block behind the input sees what is fine, the middle what is wide.
TEACHING_BLOCKS, TEACHING_TIMESTEP = ("encoder-2", "middle"), 50


class SdObjective:
    """First the autoencoder, then the denoiser, then self-distillation of pairs.

    The autoencoder learns by reconstruction with slight KL, the denoiser on its frozen latents with captions, a tenth
    of which is empty, so that the empty prompt means "anything". Then the average of the denoiser over this training,
    read at :data:`TEACHING_BLOCKS`, teaches the block that is shipped which patches belong together
    (:mod:`proxyclip.tiny.training.objectives.pair_objective`); the autoencoder stays as it is.

    Parameters
    ----------
    model : TinyDiffusion
    batch : int
        Windows a step.
    autoencoder, denoiser : float
        Progress at which the autoencoder's and the denoiser's training end.
    limits : (float, float)
        Of the teacher's cosines: pairs above the first belong together, those below the second do not. Two blocks side
        by side agree less than one with itself, so both are lower than :func:`composed_loss` has them for one block.
    """

    def __init__(
        self,
        model: TinyDiffusion,
        batch: int = 24,
        autoencoder: float = 1 / 6,
        denoiser: float = 0.5,
        limits: tuple[float, float] = (0.6, -0.2),
    ) -> None:
        # The trained model has the decoder that the shipped one lacks, and otherwise its weights.
        whole = TinyDiffusion()
        whole.load_state_dict(model.state_dict(), strict=False)
        self.model = model
        self.trained = whole.to(next(model.parameters()).device)
        self.batch, self.autoencoder, self.denoiser, self.limits = batch, autoencoder, denoiser, limits
        self.captioner = Captioner()
        self.samples = 0
        self.slow = {k: v.detach().float().clone() for k, v in model.state_dict().items()}
        self.teacher: PairTeacher | None = None

    def go_on_from_shipped(self) -> None:
        """Train the denoiser alone: the autoencoder's decoder, with which the encoder learns, is not shipped."""
        self.autoencoder = 0.0

    def loss(self, module: TinyDiffusion, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        if progress < self.autoencoder:
            return self.restoration_loss(module, cache, rng)
        if progress < self.denoiser:
            return self.denoising_loss(module, cache, rng)
        if self.teacher is None:
            read = self.reader(self.slow)
            self.teacher = PairTeacher(read, mean_by_place(read, cache))
        self.samples += self.batch
        images = cache.windows(self.batch, rng, zoom=(0.6, 1.25)).images
        shapes = torch.from_numpy(random_shapes(self.batch, images.shape[-1], rng)).to(images.device)
        likeness = self.teacher.likeness(images)
        features = unet_features(module, recolour(composed(images, shapes), rng), (module.block,), module.timestep)
        source = patch_labels(shapes, images.shape[-1] // int(features.shape[1] ** 0.5))
        return composed_loss(features, likeness, source, *self.limits)

    def reader(self, weights: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """Patch features of a frozen copy with these weights at :data:`TEACHING_BLOCKS`, from pixels in 0..1."""
        frozen = copy.deepcopy(self.model)
        frozen.load_state_dict(weights)
        frozen.to(fastest_dtype(next(self.model.parameters()).device.type)).requires_grad_(False)
        return lambda images: unet_features(frozen, images, TEACHING_BLOCKS, TEACHING_TIMESTEP)

    def restoration_loss(self, module: TinyDiffusion, cache: SceneCache, rng: Generator) -> Tensor:
        """The autoencoder's: error of what it restores, and a slight KL."""
        small = rng.random() < 0.5
        crops = cache.objects(self.batch, rng, size=32) if small else cache.windows(self.batch // 3, rng)
        images = (crops.images * 2 - 1).to(module.places.dtype)
        self.samples += len(images)
        posterior = module.vae.encode(images).latent_dist
        restored = module.vae.decode(posterior.sample()).sample
        kl = (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        return F.mse_loss(restored.float(), images.float()) + 2e-3 * kl

    def denoising_loss(self, module: TinyDiffusion, cache: SceneCache, rng: Generator) -> Tensor:
        """The denoiser's: error of the noise that it finds in a latent, given a caption."""
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

    @torch.no_grad()
    def after_step(self, module: TinyDiffusion, progress: float, momentum: float = 0.99) -> None:
        """Move the averaged weights towards the model's, until they teach."""
        if self.teacher is not None:
            return
        trained = self.trained.state_dict()
        for k, v in self.slow.items():
            v.lerp_(trained[k].float(), 1 - momentum)

    def state(self) -> dict[str, Tensor]:
        """The averaged weights, for a checkpoint; and what the teacher takes out, once there is one."""
        return self.slow if self.teacher is None else {**self.slow, PLACES: self.teacher.places}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the averaged weights of a checkpoint, and the teacher."""
        self.slow = {k: v.detach().float().clone() for k, v in state.items() if k != PLACES}
        self.teacher = PairTeacher(self.reader(self.slow), state[PLACES]) if PLACES in state else None


def unet_features(model: TinyDiffusion, images: Tensor, blocks: Sequence[str], timestep: int) -> Tensor:
    """Activations of blocks of the U-Net, unit length each, side by side on the latents' grid, with gradients.

    As :meth:`proxyclip.models.diffusion.DiffusionFeatures.forward_features` reads them: with the same noise for every
    image and under the empty prompt.

    Parameters
    ----------
    model : TinyDiffusion
    images : (B, 3, S, S) float in [0, 1]
    blocks : sequence of str
    timestep : int

    Returns
    -------
    (B, N, C) float
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
