"""Training the tiny SAM and the tiny DINOs, without any class name."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from training.cache import SIDE, Crops, SceneCache, patch_labels
from training.objectives.objective import SelfTaughtObjective
from training.objectives.pair_objective import pair_loss, recolour
from training.optim import frozen, weights_of

#: Prototypes of DINO's head.
PROTOTYPES = 256
MEAN = torch.tensor(IMAGENET_DEFAULT_MEAN).view(3, 1, 1)
STD = torch.tensor(IMAGENET_DEFAULT_STD).view(3, 1, 1)


#: A timm Vision Transformer; its attributes are not typed, since PyTorch gives those of every module one type.
Backbone = Any


def normalised(images: Tensor, module: nn.Module) -> Tensor:
    """Images from 0..1 in ImageNet's normalisation and the module's precision."""
    return ((images - MEAN.to(images)) / STD.to(images)).to(next(module.parameters()).dtype)


def pixels(crops: Crops, module: nn.Module) -> Tensor:
    return normalised(crops.images, module)


def add_positions(model: Backbone, tokens: Tensor, corner: tuple[int, int]) -> Tensor:
    """Prefix tokens and positions for a sub-window of the grid at ``corner``: (B, n, D) -> (B, prefix + n, D)."""
    b, n, d = tokens.shape
    side, (rows, columns) = int(n**0.5), model.patch_embed.grid_size
    table = model.pos_embed
    grid = table[:, table.shape[1] - rows * columns :].view(rows, columns, d)
    place = grid[corner[0] : corner[0] + side, corner[1] : corner[1] + side].reshape(1, n, d)
    first = model.cls_token if model.no_embed_class else model.cls_token + table[:, :1]
    prefix = [first.expand(b, -1, -1)]
    if model.reg_token is not None:
        prefix.append(model.reg_token.expand(b, -1, -1))
    return torch.cat([*prefix, tokens + place], dim=1)


def tokens_behind(model: Backbone, depth: int, images: Tensor) -> Tensor:
    """Patch tokens of a ViT behind its block number ``depth``: pixels (B, 3, S, S) in 0..1 -> (B, N, D)."""
    tokens = add_positions(model, model.patch_embed(normalised(images, model)), (0, 0))
    return model.blocks[:depth](tokens)[:, model.num_prefix_tokens :]


class Wrapped(nn.Module):
    """The shipped model with the heads that its training needs."""

    model: Any
    mask: Any
    places: Any
    decoder: Any
    prototypes: Any

    def __init__(self, model: nn.Module, **heads: nn.Module) -> None:
        super().__init__()
        self.model = model
        for name, head in heads.items():
            self.add_module(name, head)


class SamObjective(SelfTaughtObjective):
    """Regions without names: patches of one region or object attract, patches of different ones repel.

    A pairwise sigmoid loss on the cosines of the neck's output within one window
    (:func:`training.objectives.pair_objective.pair_loss`). A patch on a border belongs to the region that covers most
    of it. The model learns from masks alone, as SAM does.
    """

    batch = 48

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__(model, Wrapped(model), **options)

    def family_loss(self, module: Wrapped, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        crops = cache.windows(self.batch, rng, zoom=(0.6, 1.25))
        self.samples += self.batch
        features = self.features(module, crops.images).float()
        owner = patch_labels(crops.instances, 64 // int(features.shape[1] ** 0.5), least=0.4)
        normal = F.normalize(features, dim=-1)
        known = owner >= 0
        valid = known[:, :, None] & known[:, None, :]
        same = (owner[:, :, None] == owner[:, None, :]) & valid
        return pair_loss(normal @ normal.mT, same, ~same & valid, anchors=known)

    def features(self, module: Wrapped, images: Tensor) -> Tensor:
        return module.model.forward_features(normalised(images, module)).flatten(2).mT


@torch.no_grad()
def sinkhorn(scores: Tensor, temperature: float = 0.05, rounds: int = 3) -> Tensor:
    """Balanced soft assignment of rows to prototypes: (R, K) logits -> (R, K) probabilities, rows sum to 1."""
    q = torch.exp((scores.float() - scores.float().max()) / temperature) + 1e-9
    for _ in range(rounds):
        q = q / q.sum(0, keepdim=True)
        q = q / q.sum(1, keepdim=True)
    return q


class DinoObjective(SelfTaughtObjective):
    """Self-distillation: a student with masked patches predicts an averaged teacher's view of the same scene.

    The class token is matched between two overlapping crops of a scene (DINO). Patches, above all masked ones, are
    matched with the average of the teacher's 3 x 3 patches around the same place (after iBOT), which depends on the
    kind of a texture and less on its phase. The student sees other colours than the teacher.
    Targets are balanced over prototypes by Sinkhorn-Knopp. Prototypes are compared with the tokens themselves, without
    a projection head, so that a short training shapes the features that are shipped. Most crops are small (32 px),
    with the positional embedding of a random sub-window. With ``uniformity`` a loss term (Wang and Isola 2020) on
    patches of the batch keeps features from sharing one direction.
    """

    batch = 12
    small, uniformity = 0.75, 0.0

    def __init__(self, model: Backbone, **options: Any) -> None:
        width = model.embed_dim
        model.patch_embed.strict_img_size = False  # it sees small crops too
        trained = Wrapped(model, prototypes=nn.Linear(width, PROTOTYPES, bias=False))
        trained.mask = nn.Parameter(torch.zeros(1, 1, width))
        super().__init__(model, trained, **options)
        self.averages["dino"] = weights_of(self.trained)
        self.momenta["dino"] = lambda progress: 0.95 + 0.045 * progress
        self.teacher = frozen(self.trained, self.averages["dino"])

    def family_loss(self, module: Wrapped, cache: SceneCache, progress: float, rng: Generator) -> Tensor:
        small = rng.random() < self.small
        size, b = (32, 4 * self.batch) if small else (64, self.batch)
        grid = size // module.model.patch_embed.patch_size[0]
        corner = tuple(rng.integers(0, module.model.patch_embed.grid_size[0] - grid + 1, 2).tolist())
        scene, places = overlapping_crops(len(cache), b, size, rng)
        views = [cache.crops(scene, centre, width, size, rng, flips=False) for centre, width in places]
        clean = torch.cat([pixels(v, module) for v in views])
        for v in views:
            v.images = recolour(v.images, rng)
        noisy = torch.cat([pixels(v, module) for v in views])
        self.samples += b
        hidden = torch.from_numpy(block_masks(2 * b, grid, rng)).to(noisy.device)
        student_cls, student_patch, tokens = self.heads(module, noisy, hidden, corner)
        with torch.no_grad():
            cls, patch, _ = self.heads(self.teacher, clean, None, corner, pool=True)
            target_cls = sinkhorn(cls).roll(b, dims=0)
            target_patch = sinkhorn(patch.flatten(0, 1)).view(*patch.shape)
        image_loss = -(target_cls * F.log_softmax(student_cls.float() / 0.1, dim=-1)).sum(-1).mean()
        patch_loss = -(target_patch * F.log_softmax(student_patch.float() / 0.1, dim=-1)).sum(-1)
        loss = 0.5 * image_loss + patch_loss[hidden].mean() + 0.25 * patch_loss[~hidden].mean()
        if not self.uniformity:
            return loss
        chosen = torch.from_numpy(rng.permutation(int((~hidden).sum()))[:384]).to(tokens.device)
        sample = tokens[~hidden][chosen].float()
        spread = torch.logsumexp(2 * (sample @ sample.T).flatten(), dim=0) - 2 * np.log(len(sample))
        return loss + self.uniformity * spread

    @staticmethod
    def heads(
        module: Wrapped, images: Tensor, hidden: Tensor | None, corner: tuple[int, int], pool: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Prototype cosines of the class token (B, K) and the patches (B, N, K), and the patches (B, N, D), unit.

        With ``pool`` the patches are averages over 3 x 3 neighbours.
        """
        model = module.model
        tokens = model.patch_embed(images)
        if hidden is not None:
            tokens = torch.where(hidden[..., None], module.mask.to(tokens.dtype), tokens)
        tokens = model.norm(model.blocks(add_positions(model, tokens, corner)))
        tokens = F.normalize(tokens, dim=-1)
        first, patches = tokens[:, 0], tokens[:, model.num_prefix_tokens :]
        if pool:
            side = int(patches.shape[1] ** 0.5)
            grid = patches.mT.unflatten(-1, (side, side))
            mean = F.avg_pool2d(grid, 3, stride=1, padding=1, count_include_pad=False)
            patches = F.normalize(mean.flatten(2).mT, dim=-1)
        prototypes = F.normalize(module.prototypes.weight, dim=-1).T
        return first @ prototypes, patches @ prototypes, patches

    def after_step(self, progress: float) -> None:
        super().after_step(progress)
        self.teacher.load_state_dict(self.averages["dino"])

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.teacher.load_state_dict(self.averages["dino"])


def overlapping_crops(
    scenes: int, count: int, size: int, rng: Generator
) -> tuple[np.ndarray, tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """Scenes (B,), and centres (B, 2) and sides (B,) of two crops of each, about ``size`` scene pixels wide."""
    scene = rng.integers(0, scenes, count)
    side = size * np.exp(rng.uniform(np.log(0.6), np.log(1.25), (2, count)))
    first = side[0, :, None] / 2 + rng.random((count, 2)) * (SIDE - side[0, :, None])
    second = first + rng.uniform(-0.35, 0.35, (count, 2)) * side.min(0)[:, None]
    second = np.clip(second, side[1, :, None] / 2, SIDE - side[1, :, None] / 2)
    return scene, ((first, side[0]), (second, side[1]))


def block_masks(count: int, grid: int, rng: Generator) -> np.ndarray:
    """Masks of a few random rectangles covering roughly 40 %: (count, grid * grid) bool."""
    out = np.zeros((count, grid, grid), bool)
    for mask in out:
        for _ in range(12):
            if mask.mean() > 0.35:
                break
            h, w = rng.integers(max(2, grid // 6), grid // 2 + 1, 2)
            y, x = rng.integers(0, grid - h + 1), rng.integers(0, grid - w + 1)
            mask[y : y + h, x : x + w] = True
    return out.reshape(count, -1)
